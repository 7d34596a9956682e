//! What is asked of the memory while tiles are computed: the operands that are packed next.
//!
//! Packing reads each element once; from beyond the caches it would wait for most of them. The second-level cache has
//! room for the next block beside the one at work.

use super::plan::LINE;
use crate::isa::prefetch_far;

/// Lines of the cache at a stride.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub at: *const u8,
    /// Bytes.
    pub stride: usize,
}

impl Line {
    /// One line again and again that is there anyway.
    pub fn nothing<T>(there: *const T) -> Line {
        Line { at: there.cast(), stride: 0 }
    }
}

/// A part of a matrix: `rows` rows of `width` contiguous bytes, `stride` bytes apart.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub at: *const u8,
    pub stride: usize,
    pub rows: usize,
    pub width: usize,
}

impl Part {
    /// `sizes` elements at `at`, `strides` elements apart along each axis, if one of the strides is 1.
    pub fn of<T>(at: *const T, sizes: (usize, usize), strides: (usize, usize)) -> Option<Part> {
        let size = size_of::<T>();
        let (rows, width, stride) = match strides {
            (stride, 1) => (sizes.0, sizes.1, stride),
            (1, stride) => (sizes.1, sizes.0, stride),
            _ => return None,
        };
        Some(Part { at: at.cast(), stride: stride * size, rows, width: width * size })
    }
}

/// The lines of up to two parts, handed out to tiles by and by.
pub(super) struct Ahead {
    parts: [Option<Part>; 2],
    row: usize,
    column: usize,
}

impl Ahead {
    pub fn new(parts: [Option<Part>; 2]) -> Ahead {
        Ahead { parts, row: 0, column: 0 }
    }

    /// What a tile that asks for `count` lines should ask for; when there is nothing left, for `there` again and again.
    #[inline(always)]
    pub fn next<T>(&mut self, count: usize, there: *const T) -> Line {
        let Some(part) = self.parts[0] else {
            return Line::nothing(there);
        };
        let line =
            Line { at: part.at.wrapping_add(self.row * part.stride + self.column), stride: part.stride };
        self.row += count.max(1);
        if self.row >= part.rows {
            self.row = 0;
            self.column += LINE;
            if self.column >= part.width {
                self.column = 0;
                self.parts = [self.parts[1], None];
            }
        }
        line
    }
}

/// Asks for every `every`th row of a part, from row `first` on.
#[inline(always)]
pub(crate) fn ask(part: &Part, first: usize, every: usize) {
    let mut row = first;
    while row < part.rows {
        let at = part.at.wrapping_add(row * part.stride);
        let mut byte = 0;
        while byte < part.width {
            prefetch_far(at.wrapping_add(byte));
            byte += LINE;
        }
        row += every;
    }
}
