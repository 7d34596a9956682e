"""How tensors look in notebooks."""

import html

_ROWS, _COLUMNS = 12, 12


def tensor_html(x):
    """A tensor or variable as HTML: what it is, and its values as a table (a text if it has many axes)."""
    kind = "Variable" if hasattr(x, "trainable") else "Tensor"
    name = f" {html.escape(x.name)}" if kind == "Variable" else ""
    head = f"<b>{kind}</b>{name} shape={tuple(x.shape)} dtype={x.dtype}"
    try:
        values = x.numpy()
    except Exception:  # a symbol, which has none
        return f"<div>{head}</div>"
    if values.ndim > 2 or not values.size:
        return f"<div>{head}<pre>{html.escape(str(values))}</pre></div>"
    rows = values.reshape(1, -1) if values.ndim < 2 else values
    body = "".join(
        f"<tr>{_row(rows[i]) if i is not None else _gap(rows.shape[1])}</tr>" for i in _kept(len(rows), _ROWS)
    )
    return f'<div>{head}<table style="border-collapse:collapse;font-family:monospace">{body}</table></div>'


def _kept(count, most):
    """The indices to show; None for a gap."""
    if count <= most:
        return range(count)
    half = most // 2
    return [*range(half), None, *range(count - half, count)]


def _row(row):
    return "".join(
        f'<td style="padding:2px 8px;text-align:right">{_number(row[i]) if i is not None else "…"}</td>'
        for i in _kept(len(row), _COLUMNS)
    )


def _gap(columns):
    return "<td>⋮</td>" * len(_kept(columns, _COLUMNS))


def _number(value):
    return html.escape(f"{value:.5g}" if value.dtype.kind in "fV" else str(value))
