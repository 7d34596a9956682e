"""The compiled program of a workload, to be looked into."""


def first_batch(keras, work, train):
    """The model of a workload of rkeras after its first batch, the program which that compiled, and its arguments."""
    x, y = (part[: work.batch] for part in work.load(0))
    model = work.model(keras)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    if train:
        model.train_on_batch(x, y)
    else:
        model.predict(x, batch_size=work.batch, verbose=0)
    [compiled] = model._steps_or_new().compiled.values()
    return model, compiled.program, (x, y) if train else (x,)
