//! Where the elements of a tensor lie in its storage: shape, strides and offset, in elements.

use smallvec::SmallVec;

use crate::shape::Dims;

/// Strides, in elements; negative ones walk backwards, zero repeats.
pub type Strides = SmallVec<[isize; 6]>;

/// Shape, strides and offset of a view into a storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The sizes.
    pub shape: Dims,
    /// The step of each axis, in elements.
    pub strides: Strides,
    /// The position of the first element.
    pub offset: usize,
}

impl Layout {
    /// The row-major layout of a shape.
    pub fn contiguous(shape: &[usize]) -> Layout {
        let mut strides: Strides = SmallVec::from_elem(1, shape.len());
        let mut step = 1isize;
        for i in (0..shape.len()).rev() {
            strides[i] = step;
            step *= shape[i].max(1) as isize;
        }
        Layout { shape: shape.into(), strides, offset: 0 }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Is there no element?
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Do the elements lie in row-major order without gaps (at any offset)?
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1isize;
        for i in (0..self.shape.len()).rev() {
            if self.shape[i] != 1 {
                if self.strides[i] != step {
                    return self.is_empty();
                }
                step *= self.shape[i] as isize;
            }
        }
        true
    }

    /// The axes in another order.
    pub fn permute(&self, order: &[usize]) -> Layout {
        Layout {
            shape: order.iter().map(|&i| self.shape[i]).collect(),
            strides: order.iter().map(|&i| self.strides[i]).collect(),
            offset: self.offset,
        }
    }

    /// The same elements repeated to a larger shape, or `None` if the shapes do not broadcast.
    pub fn broadcast(&self, shape: &[usize]) -> Option<Layout> {
        let lead = shape.len().checked_sub(self.rank())?;
        let mut strides: Strides = SmallVec::from_elem(0, shape.len());
        for i in 0..self.rank() {
            if self.shape[i] == shape[lead + i] {
                strides[lead + i] = self.strides[i];
            } else if self.shape[i] != 1 {
                return None;
            }
        }
        Some(Layout { shape: shape.into(), strides, offset: self.offset })
    }

    /// Along `axis`: start at `start`, take `len` elements, `step` apart (`step` may be negative).
    pub fn slice(&self, axis: usize, start: usize, len: usize, step: isize) -> Layout {
        let mut out = self.clone();
        if len > 0 {
            out.offset = (self.offset as isize + start as isize * self.strides[axis]) as usize;
        }
        out.shape[axis] = len;
        out.strides[axis] *= step;
        out
    }

    /// The same elements under another shape of the same length, if no copy is needed.
    pub fn reshape(&self, shape: &[usize]) -> Option<Layout> {
        debug_assert_eq!(self.len(), shape.iter().product::<usize>());
        if self.is_contiguous() {
            let mut out = Layout::contiguous(shape);
            out.offset = self.offset;
            return Some(out);
        }
        // Walk both shapes in groups of equal length; a group must be one evenly strided run.
        let old: SmallVec<[(usize, isize); 6]> = (0..self.rank())
            .filter(|&i| self.shape[i] != 1)
            .map(|i| (self.shape[i], self.strides[i]))
            .collect();
        let mut strides: Strides = SmallVec::from_elem(0, shape.len());
        let (mut i, mut j) = (0, 0);
        while i < old.len() {
            let (mut oi, mut nj) = (i + 1, j);
            let mut have = old[i].0;
            let mut want = 1;
            while want != have || nj == j {
                if want < have {
                    if nj >= shape.len() {
                        return None;
                    }
                    want *= shape[nj];
                    nj += 1;
                } else if have < want {
                    if oi >= old.len() {
                        return None;
                    }
                    have *= old[oi].0;
                    oi += 1;
                } else {
                    break;
                }
            }
            for k in i..oi - 1 {
                if old[k].1 != old[k + 1].1 * old[k + 1].0 as isize {
                    return None;
                }
            }
            let mut step = old[oi - 1].1;
            for k in (j..nj).rev() {
                strides[k] = step;
                step *= shape[k] as isize;
            }
            (i, j) = (oi, nj);
        }
        Some(Layout { shape: shape.into(), strides, offset: self.offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_of_a_transpose_needs_a_copy_but_splitting_does_not() {
        let t = Layout::contiguous(&[4, 6]).permute(&[1, 0]);
        assert!(t.reshape(&[24]).is_none());
        let split = t.reshape(&[2, 3, 4]).unwrap();
        assert_eq!(split.strides.as_slice(), &[3, 1, 6]);
        let ones = t.reshape(&[1, 6, 1, 4, 1]).unwrap();
        assert_eq!((ones.strides[1], ones.strides[3]), (1, 6));
    }

    #[test]
    fn slices_and_broadcasts() {
        let l = Layout::contiguous(&[3, 4]);
        let s = l.slice(1, 3, 2, -2);
        assert_eq!((s.offset, s.strides[1], s.shape[1]), (3, -2, 2));
        assert!(!s.is_contiguous());
        assert_eq!(l.slice(0, 1, 1, 1).broadcast(&[5, 4]).unwrap().strides.as_slice(), &[0, 1]);
        assert!(l.broadcast(&[3, 5]).is_none());
    }
}
