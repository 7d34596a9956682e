//! Conversion between element types. Floats become integers by truncation, held inside the range (NaN gives 0);
//! integers wrap among themselves; anything becomes a truth value by `!= 0`.

use crate::isa::{Isa, Kernel, Level, dispatch, level};
use crate::shared::{GRAIN, Shared, ranges};
use half::{bf16, f16};

/// An element type as a value, where the type is known only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned 8 bits.
    U8,
    /// Unsigned 16 bits.
    U16,
    /// Unsigned 32 bits.
    U32,
    /// Unsigned 64 bits.
    U64,
    /// Signed 8 bits.
    I8,
    /// Signed 16 bits.
    I16,
    /// Signed 32 bits.
    I32,
    /// Signed 64 bits.
    I64,
    /// IEEE half precision.
    F16,
    /// The upper half of a float32.
    BF16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Kind {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Kind::Bool | Kind::U8 | Kind::I8 => 1,
            Kind::U16 | Kind::I16 | Kind::F16 | Kind::BF16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }
}

/// A type that converts to `B`.
pub trait To<B>: Copy + Send + Sync {
    /// The value as a `B`.
    fn to(self) -> B;
}

macro_rules! primitive {
    (all $($a:ident)*) => {$( primitive!(@ $a => u8 u16 u32 u64 i8 i16 i32 i64 f32 f64); primitive!(half; $a); )*};
    (@ $a:ident => $($b:ident)*) => {$(
        impl To<$b> for $a {
            #[inline(always)]
            fn to(self) -> $b {
                self as $b
            }
        }
    )*};
    (half; $a:ident) => {
        impl To<f16> for $a {
            #[inline(always)]
            fn to(self) -> f16 {
                f16::from_f64(self as f64)
            }
        }
        impl To<bf16> for $a {
            #[inline(always)]
            fn to(self) -> bf16 {
                bf16::from_f64(self as f64)
            }
        }
        impl To<$a> for f16 {
            #[inline(always)]
            fn to(self) -> $a {
                f32::from(self) as $a
            }
        }
        impl To<$a> for bf16 {
            #[inline(always)]
            fn to(self) -> $a {
                f32::from(self) as $a
            }
        }
    };
}
primitive!(all u8 u16 u32 u64 i8 i16 i32 i64 f64);
primitive!(@ f32 => u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);

macro_rules! between {
    ($($a:ident -> $b:ident by |$x:ident| $e:expr;)*) => {$(
        impl To<$b> for $a {
            #[inline(always)]
            fn to(self) -> $b {
                let $x = self;
                $e
            }
        }
    )*};
}
/// To the nearest, halves to even; without branches, so that the compiler makes vectors of it.
#[inline(always)]
fn round_bf16(x: f32) -> bf16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let nan = bits >> 16 | 0x40;
    bf16::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { nan } else { rounded } as u16)
}

between! {
    f32 -> f16 by |x| f16::from_f32(x);
    f32 -> bf16 by |x| round_bf16(x);
    f16 -> f32 by |x| f32::from(x);
    bf16 -> f32 by |x| f32::from_bits(u32::from(x.to_bits()) << 16);
    f16 -> f16 by |x| x;
    bf16 -> bf16 by |x| x;
    f16 -> bf16 by |x| bf16::from_f32(f32::from(x));
    bf16 -> f16 by |x| f16::from_f32(f32::from(x));
}

struct Converting<A, B>(*const A, *mut B, usize);

impl<A: To<B>, B> Kernel for Converting<A, B> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        for i in 0..self.2 {
            // SAFETY: made by `convert_raw` from its caller's promise.
            unsafe { *self.1.add(i) = (*self.0.add(i)).to() };
        }
    }
}

/// One thread's conversion.
///
/// # Safety
/// `n` values at `x`, room for `n` at `y`, disjoint.
pub(crate) unsafe fn convert_raw<A: To<B>, B>(x: *const A, y: *mut B, n: usize) {
    // Wider vectors gain nothing here; one level less is less code.
    dispatch(level().min(Level::Avx2), Converting(x, y, n));
}

/// `y[i] = x[i]` in the other type; panics if the lengths differ.
pub fn convert<A: To<B>, B: Send>(x: &[A], y: &mut [B]) {
    assert_eq!(x.len(), y.len(), "convert: input and output differ in length");
    let out = Shared::new(y);
    ranges(x.len(), GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        // SAFETY: both have end - start values.
        unsafe { convert_raw(x[start..end].as_ptr(), y.as_mut_ptr(), y.len()) }
    });
}

/// `y[i] = (x[i] != 0)`.
pub fn to_bool<A: Copy + PartialEq + Default + Send + Sync>(x: &[A], y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "to_bool: input and output differ in length");
    let out = Shared::new(y);
    ranges(x.len(), GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        for (y, x) in y.iter_mut().zip(&x[start..end]) {
            *y = u8::from(*x != A::default());
        }
    });
}

/// Calls `$m!(type)` with the storage type of `$kind`.
macro_rules! with_kind {
    ($kind:expr, $m:ident) => {
        match $kind {
            Kind::Bool | Kind::U8 => $m!(u8),
            Kind::U16 => $m!(u16),
            Kind::U32 => $m!(u32),
            Kind::U64 => $m!(u64),
            Kind::I8 => $m!(i8),
            Kind::I16 => $m!(i16),
            Kind::I32 => $m!(i32),
            Kind::I64 => $m!(i64),
            Kind::F16 => $m!(f16),
            Kind::BF16 => $m!(bf16),
            Kind::F32 => $m!(f32),
            Kind::F64 => $m!(f64),
        }
    };
}
pub(crate) use with_kind;

/// The elements of a byte slice; panics unless it is aligned and a whole number of elements.
pub(crate) fn elements<T>(x: &[u8]) -> &[T] {
    let size = size_of::<T>();
    assert!(
        x.len().is_multiple_of(size) && (x.is_empty() || x.as_ptr().cast::<T>().is_aligned()),
        "{} bytes are no aligned elements of {size} bytes",
        x.len()
    );
    if x.is_empty() {
        return &[];
    }
    // SAFETY: aligned and whole; used for the plain number types above only, of which any bits are valid.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len() / size) }
}

/// The elements of a byte slice, writable.
pub(crate) fn elements_mut<T>(x: &mut [u8]) -> &mut [T] {
    let size = size_of::<T>();
    assert!(
        x.len().is_multiple_of(size) && (x.is_empty() || x.as_ptr().cast::<T>().is_aligned()),
        "{} bytes are no aligned elements of {size} bytes",
        x.len()
    );
    if x.is_empty() {
        return &mut [];
    }
    // SAFETY: as in `elements`; &mut makes it exclusive.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len() / size) }
}

/// [`convert`] where the types are known at run time; panics unless the bytes are whole, aligned elements.
pub fn convert_bytes(from: Kind, x: &[u8], to: Kind, y: &mut [u8]) {
    macro_rules! outer {
        ($a:ident) => {{
            let x = elements::<$a>(x);
            if to == Kind::Bool {
                return to_bool(x, y);
            }
            macro_rules! inner {
                ($b:ident) => {
                    convert(x, elements_mut::<$b>(y))
                };
            }
            with_kind!(to, inner)
        }};
    }
    with_kind!(from, outer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let mut i = [0i8; 5];
        convert(&[1.9f32, -1.9, 1e9, f32::NAN, -1e9], &mut i);
        assert_eq!(i, [1, -1, 127, 0, -128]);
        let mut h = [f16::ZERO; 3];
        convert(&[1.5f64, 65504.0, 1e9], &mut h);
        assert_eq!(h, [f16::from_f32(1.5), f16::MAX, f16::INFINITY]);
        let mut u = [0u8; 3];
        convert(&[-1i64, 256, 3], &mut u);
        assert_eq!(u, [255, 0, 3]);
        to_bool(&[0.0f64, -0.0, f64::NAN], &mut u);
        assert_eq!(u, [0, 0, 1]);
    }

    #[test]
    fn every_pair_through_bytes() {
        use Kind::*;
        let all = [Bool, U8, U16, U32, U64, I8, I16, I32, I64, F16, BF16, F32, F64];
        let n = 37;
        // 0 and 1 survive every path.
        let bits: Vec<u8> = (0..n).map(|i| (i * 7 % 3 == 1) as u8).collect();
        for from in all {
            // u64 storage keeps everything aligned.
            let mut a = vec![0u64; n];
            let a = bytes_of(&mut a, n * from.size());
            convert_bytes(Bool, &bits, from, a);
            for to in all {
                let mut b = vec![0u64; n];
                let b = bytes_of(&mut b, n * to.size());
                convert_bytes(from, a, to, b);
                let mut back = vec![9u8; n];
                convert_bytes(to, b, Bool, &mut back);
                assert_eq!(back, bits, "{from:?} to {to:?}");
            }
        }
    }

    fn bytes_of(x: &mut [u64], n: usize) -> &mut [u8] {
        // SAFETY: bytes of initialised integers.
        unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), n) }
    }
}
