//! Element types and how they combine.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use half::{bf16, f16};

use crate::error::{Error, Result};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned 8-bit integer.
    U8,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer.
    U64,
    /// Signed 8-bit integer.
    I8,
    /// Signed 16-bit integer.
    I16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer.
    I64,
    /// IEEE half precision.
    F16,
    /// Brain float: the upper half of a float32.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

use DType::*;

/// Every dtype, in the order of the enum.
pub const ALL: [DType; 13] = [Bool, U8, U16, U32, U64, I8, I16, I32, I64, F16, BF16, F32, F64];

impl DType {
    /// Keras's name of the dtype.
    pub fn name(self) -> &'static str {
        match self {
            Bool => "bool",
            U8 => "uint8",
            U16 => "uint16",
            U32 => "uint32",
            U64 => "uint64",
            I8 => "int8",
            I16 => "int16",
            I32 => "int32",
            I64 => "int64",
            F16 => "float16",
            BF16 => "bfloat16",
            F32 => "float32",
            F64 => "float64",
        }
    }

    /// The dtype of that name.
    pub fn parse(name: &str) -> Result<DType> {
        ALL.into_iter().find(|d| d.name() == name).ok_or_else(|| {
            let names: Vec<_> = ALL.iter().map(|d| d.name()).collect();
            Error::dtype("dtype", format!("one of {}", names.join(", ")), format!("{name:?}"))
        })
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Bool | U8 | I8 => 1,
            U16 | I16 | F16 | BF16 => 2,
            U32 | I32 | F32 => 4,
            U64 | I64 | F64 => 8,
        }
    }

    /// Is it a floating-point type?
    pub fn is_float(self) -> bool {
        matches!(self, F16 | BF16 | F32 | F64)
    }

    /// Is it an integer type (bool is not)?
    pub fn is_int(self) -> bool {
        matches!(self, U8 | U16 | U32 | U64 | I8 | I16 | I32 | I64)
    }

    /// Is it a signed integer type?
    pub fn is_signed_int(self) -> bool {
        matches!(self, I8 | I16 | I32 | I64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

static FLOATX: AtomicU8 = AtomicU8::new(F32 as u8);

/// The float type that integers and Python numbers become where a float is needed (Keras's `floatx`).
pub fn floatx() -> DType {
    ALL[FLOATX.load(Ordering::Relaxed) as usize]
}

/// Sets [`floatx`].
pub fn set_floatx(dtype: DType) -> Result<()> {
    if !dtype.is_float() {
        return Err(Error::value("set_floatx", "a float dtype", dtype.name()));
    }
    FLOATX.store(dtype as u8, Ordering::Relaxed);
    Ok(())
}

/// One side of a promotion: a dtype, or a Python scalar that adapts to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A tensor of this dtype.
    Strong(DType),
    /// A Python `bool`.
    WeakBool,
    /// A Python `int`.
    WeakInt,
    /// A Python `float`.
    WeakFloat,
}

/// The dtype two tensors meet in: the least upper bound of Keras's (JAX's) promotion lattice, with the
/// one deviation of Keras that 64-bit integers with floats give float32.
pub fn promote(a: DType, b: DType) -> DType {
    if a == b {
        return a;
    }
    let (a, b) = if a < b { (a, b) } else { (b, a) };
    match (a, b) {
        (Bool, other) => other,
        (_, F64) => F64,
        (F16 | BF16, F32) | (F16, BF16) => F32,
        (int, float) if int.is_int() && float.is_float() => float,
        (unsigned, signed) if !unsigned.is_signed_int() && signed.is_signed_int() => {
            // The smallest signed type that holds both; uint64 has none, and Keras answers float32.
            match (unsigned, signed) {
                (U8, I8) => I16,
                (U8, s) => s,
                (U16, I8 | I16) => I32,
                (U16, s) => s,
                (U32, I64) => I64,
                (U32, _) => I64,
                _ => F32,
            }
        }
        // Two unsigned, two signed or two floats: the later one is the wider one.
        (_, wider) => wider,
    }
}

/// Keras's result dtype of any number of operands; `floatx` is what weak floats fall back to.
pub fn result_type(operands: &[Operand], floatx: DType) -> DType {
    let mut strong: Option<DType> = None;
    let (mut weak_float, mut weak_int) = (false, false);
    for operand in operands {
        match *operand {
            Operand::Strong(d) => strong = Some(strong.map_or(d, |s| promote(s, d))),
            Operand::WeakFloat => weak_float = true,
            Operand::WeakInt => weak_int = true,
            Operand::WeakBool => {}
        }
    }
    match strong {
        Some(d) if weak_float && !d.is_float() => floatx,
        Some(Bool) if weak_int => I32,
        Some(d) => d,
        None if weak_float => floatx,
        None if weak_int => I32,
        None => Bool,
    }
}

/// A Rust type that tensors hold.
pub trait Element:
    bytemuck::NoUninit + bytemuck::AnyBitPattern + Send + Sync + fmt::Debug + PartialEq + 'static
{
    /// Its dtype.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($t:ty => $d:ident),*) => { $(impl Element for $t { const DTYPE: DType = DType::$d; })* };
}
elements!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
          f16 => F16, bf16 => BF16, f32 => F32, f64 => F64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promotion_is_symmetric_and_idempotent() {
        for a in ALL {
            assert_eq!(promote(a, a), a);
            for b in ALL {
                assert_eq!(promote(a, b), promote(b, a), "{a} {b}");
            }
        }
    }

    #[test]
    fn weak_scalars_adapt() {
        let s = Operand::Strong;
        assert_eq!(result_type(&[s(F16), Operand::WeakFloat], F32), F16);
        assert_eq!(result_type(&[s(I64), Operand::WeakFloat], F32), F32);
        assert_eq!(result_type(&[s(U8), Operand::WeakInt], F32), U8);
        assert_eq!(result_type(&[s(Bool), Operand::WeakInt], F32), I32);
    }
}
