"""Results sent to a server."""

import warnings

import numpy as np

from rkeras.callbacks.callback import Callback


class RemoteMonitor(Callback):
    """Sends the results of every epoch to a server by HTTP POST.

    Args:
        root: the address of the server.
        path: what follows it.
        field: the name of the form field that holds the results as JSON.
        headers: dict of HTTP headers.
        send_as_json: send the results as a JSON document instead of a form.
    """

    def __init__(
        self, root="http://localhost:9000", path="/publish/epoch/end/", field="data", headers=None, send_as_json=False,
    ):  # fmt: skip
        super().__init__()
        self.root, self.path, self.field = root, path, field
        self.headers, self.send_as_json = headers, send_as_json

    def on_epoch_end(self, epoch, logs=None):
        import json
        import urllib.error
        import urllib.parse
        import urllib.request

        results = {
            k: v.item() if isinstance(v, (np.ndarray, np.generic)) else v for k, v in (logs or {}).items()
        }
        text = json.dumps({"epoch": epoch, **results})
        headers = dict(self.headers or {})
        if self.send_as_json:
            body = text.encode()
            headers.setdefault("Content-Type", "application/json")
        else:
            body = urllib.parse.urlencode({self.field: text}).encode()
        if not self.root.startswith(("http://", "https://")):
            raise ValueError(
                f"RemoteMonitor: expected an address with http:// or https://. Received: {self.root!r}"
            )
        request = urllib.request.Request(self.root + self.path, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10):
                pass
        except (urllib.error.URLError, OSError) as error:
            warnings.warn(f"RemoteMonitor: expected a server at {self.root}. Received: {error}", stacklevel=2)
