//! Moving elements between layouts.

/// Copies the strided elements of `src` (element size `size`, strides and offset in elements) to `out` in
/// row-major order.
pub fn to_contiguous(
    src: &[u8],
    size: usize,
    shape: &[usize],
    strides: &[isize],
    offset: usize,
    out: &mut [u8],
) {
    let len: usize = shape.iter().product();
    let mut index = vec![0usize; shape.len()];
    for i in 0..len {
        let at = offset as isize + index.iter().zip(strides).map(|(&i, &s)| i as isize * s).sum::<isize>();
        out[i * size..][..size].copy_from_slice(&src[at as usize * size..][..size]);
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            if index[d] < shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
}
