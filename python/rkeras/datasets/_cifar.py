"""The archives of CIFAR-10 and CIFAR-100."""

from rkeras.datasets._files import plain_objects


def load(name, file_hash, folder, train, test, label_key):
    """((x_train, y_train), (x_test, y_test)) of the archive; it is read in memory, nothing is unpacked."""
    import tarfile

    import numpy as np

    from rkeras.utils.download import get_file

    path = get_file(name, origin=f"https://www.cs.toronto.edu/~kriz/{name}", file_hash=file_hash)

    def read(archive, files):
        images, labels = [], []
        for file in files:
            batch = plain_objects(archive.extractfile(f"{folder}/{file}"), encoding="bytes")
            images.append(batch[b"data"])
            labels.extend(batch[label_key])
        x = np.concatenate(images).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(x), np.array(labels).reshape(-1, 1)

    with tarfile.open(path) as archive:
        (x, y), (xt, yt) = read(archive, train), read(archive, test)
    return (x, y), (xt, yt)
