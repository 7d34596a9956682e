//! Tiles of C in registers: sums of products of int16 pairs.

use crate::isa::{Level, detect};

/// Elements of the largest tile.
pub(super) const LARGEST: usize = 12 * 32;

/// A tile's size, and how it is computed.
pub(super) struct Tile {
    /// Rows of C.
    pub rows: usize,
    /// Columns of C.
    pub columns: usize,
    /// `sums[rows][columns]` = `a[pair][rows]` · `b[pair][columns]`.
    pub multiply: fn(&[i32], &[i32], &mut [i32]),
}

/// The tile of a level (or of the best level of the machine, if that is lower).
pub(super) fn of(level: Level) -> Tile {
    match level.min(detect()) {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 if is_x86_feature_detected!("avx512vnni") => {
            Tile { rows: 12, columns: 32, multiply: x86::vnni }
        }
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Tile { rows: 12, columns: 32, multiply: x86::avx512 },
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Tile { rows: 6, columns: 16, multiply: x86::avx2 },
        _ => Tile { rows: 4, columns: 16, multiply: portable },
    }
}

fn portable(a: &[i32], b: &[i32], sums: &mut [i32]) {
    sums.fill(0);
    for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(16)) {
        for (&a, sums) in a.iter().zip(sums.chunks_exact_mut(16)) {
            let (low, high) = (i32::from(a as i16), a >> 16);
            for (&b, sum) in b.iter().zip(sums) {
                *sum = sum.wrapping_add(low * i32::from(b as i16)).wrapping_add(high * (b >> 16));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// Two vectors wide, `$rows` high; the sums stay in registers.
    macro_rules! tile {
        ($name:ident, $features:literal, $rows:literal, $lanes:literal, $vector:ty, $zero:ident, $load:ident,
         $splat:ident, $store:ident, $add:expr) => {
            pub(super) fn $name(a: &[i32], b: &[i32], sums: &mut [i32]) {
                #[target_feature(enable = $features)]
                unsafe fn run(pairs: usize, a: *const i32, b: *const i32, sums: *mut i32) {
                    let mut acc = [[$zero(); 2]; $rows];
                    for p in 0..pairs {
                        // SAFETY: the caller's promise.
                        unsafe {
                            let b = b.add(p * 2 * $lanes);
                            let b: [$vector; 2] = [$load(b.cast()), $load(b.add($lanes).cast())];
                            for i in 0..$rows {
                                let a = $splat(*a.add(p * $rows + i));
                                acc[i] = [$add(acc[i][0], a, b[0]), $add(acc[i][1], a, b[1])];
                            }
                        }
                    }
                    for (i, acc) in acc.iter().enumerate() {
                        // SAFETY: the caller's promise.
                        unsafe {
                            $store(sums.add(2 * $lanes * i).cast(), acc[0]);
                            $store(sums.add(2 * $lanes * i + $lanes).cast(), acc[1]);
                        }
                    }
                }
                let pairs = a.len() / $rows;
                assert!(b.len() == pairs * 2 * $lanes && sums.len() == $rows * 2 * $lanes);
                // SAFETY: the lengths were checked; `of` found the instructions.
                unsafe { run(pairs, a.as_ptr(), b.as_ptr(), sums.as_mut_ptr()) }
            }
        };
    }

    tile!(
        avx2,
        "avx2",
        6,
        8,
        __m256i,
        _mm256_setzero_si256,
        _mm256_loadu_si256,
        _mm256_set1_epi32,
        _mm256_storeu_si256,
        |sum, a, b| _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
    );
    tile!(
        avx512,
        "avx512f,avx512bw",
        12,
        16,
        __m512i,
        _mm512_setzero_si512,
        _mm512_loadu_si512,
        _mm512_set1_epi32,
        _mm512_storeu_si512,
        |sum, a, b| _mm512_add_epi32(sum, _mm512_madd_epi16(a, b))
    );
    tile!(
        vnni,
        "avx512f,avx512bw,avx512vnni",
        12,
        16,
        __m512i,
        _mm512_setzero_si512,
        _mm512_loadu_si512,
        _mm512_set1_epi32,
        _mm512_storeu_si512,
        |sum, a, b| _mm512_dpwssd_epi32(sum, a, b)
    );
}
