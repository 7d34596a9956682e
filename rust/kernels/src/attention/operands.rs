//! The matrices of one head: where they lie, packed, and products of them.

use super::Grid;
use crate::gemm::{self, Part, Scalar, Source};
use crate::isa::{Isa, Level};

/// The queries, keys or values of one head.
#[derive(Clone, Copy)]
pub(super) struct Matrix<T> {
    /// Address, stride of rows, stride of columns.
    pub at: (*const T, usize, usize),
    /// Rows and columns.
    pub sizes: [usize; 2],
}

impl<T> Matrix<T> {
    /// The first `sizes[0]` rows of a head.
    pub fn of(grid: &Grid<'_, T>, [batch, head]: [usize; 2], sizes: [usize; 2]) -> Matrix<T> {
        let at = grid.data[grid.at(batch, 0, head)..].as_ptr();
        Matrix { at: (at, grid.strides[1], grid.strides[3]), sizes }
    }

    pub fn turned(self) -> Matrix<T> {
        Matrix { at: (self.at.0, self.at.2, self.at.1), sizes: [self.sizes[1], self.sizes[0]] }
    }

    /// The address of a row, the stride of rows and that of columns.
    pub fn at_row(&self, row: usize) -> (*const T, usize, usize) {
        (self.at.0.wrapping_add(row * self.at.1), self.at.1, self.at.2)
    }
}

/// The matrices that all blocks of a task meet, packed once if there are rows enough.
pub(super) struct Met<T, const N: usize> {
    pub level: Level,
    pub matrices: [Matrix<T>; N],
    pub packed: bool,
}

impl<T: Scalar, const N: usize> Met<T, N> {
    /// Elements for the panels.
    pub fn room(&self) -> usize {
        if !self.packed {
            return 0;
        }
        self.matrices.iter().map(|m| Source::<T>::room(self.level, m.sizes)).sum()
    }

    /// What products are given.
    ///
    /// # Safety
    /// The matrices exist, and `panels` lives as long as what is returned.
    pub unsafe fn sources(&self, mut panels: &mut [T]) -> [Source<T>; N] {
        self.matrices.map(|m| {
            if !self.packed {
                return m.at.into();
            }
            let (mine, rest) =
                std::mem::take(&mut panels).split_at_mut(Source::<T>::room(self.level, m.sizes));
            panels = rest;
            // SAFETY: the caller's promise.
            unsafe { Source::packed(self.level, m.at, m.sizes, mine) }
        })
    }
}

/// C[m, n] = A·B (plus C): of a packed B at once, else by way of a plan.
///
/// # Safety
/// The elements exist, and nobody else touches those of C.
#[inline(always)]
pub(super) unsafe fn product<T: Scalar, S: Isa>(
    l: Level,
    sizes: [usize; 3],
    a: (*const T, usize, usize),
    b: Source<T>,
    c: *mut T,
    ldc: usize,
    accumulate: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match b {
            Source::Packed { ptr, rows, .. } => {
                gemm::alone::<T, S>(sizes, a, (ptr, rows), c, ldc, accumulate)
            }
            Source::Strided { .. } => gemm::raw(l, sizes, a, b, c, ldc, accumulate),
        }
    }
}

/// What the next task reads, asked for between the rows of this one: heads lie between each other, so that a head is a
/// line or two out of every row, which would each be waited for.
pub(super) struct Next {
    parts: [Option<Part>; 4],
    /// Rows between which all is asked for.
    rows: usize,
}

impl Next {
    /// The matrices `of` the next task, while `rows` rows pass.
    pub fn new<T>(of: &[Matrix<T>], rows: usize) -> Next {
        let mut parts = [None; 4];
        for (part, m) in parts.iter_mut().zip(of) {
            *part = Part::of(m.at.0, (m.sizes[0], m.sizes[1]), (m.at.1, m.at.2));
        }
        Next { parts, rows }
    }

    /// The share of row `row`.
    #[inline(always)]
    pub fn ask(&self, row: usize) {
        for part in self.parts.iter().flatten() {
            gemm::ask(part, row, self.rows);
        }
    }
}
