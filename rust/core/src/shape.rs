//! Shapes, whose dimensions may be unknown, and the rules that combine them.

use std::fmt;

use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Result};

/// A dimension; `None` is not known yet (the batch of a `keras.Input`).
pub type Dim = Option<usize>;

/// Known dimensions.
pub type Dims = SmallVec<[usize; 6]>;

/// Dimensions that may be unknown.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(pub SmallVec<[Dim; 6]>);

impl Shape {
    /// A shape of these dimensions.
    pub fn new(dims: impl IntoIterator<Item = Dim>) -> Shape {
        Shape(dims.into_iter().collect())
    }

    /// A fully known shape.
    pub fn known(dims: &[usize]) -> Shape {
        Shape(dims.iter().map(|&d| Some(d)).collect())
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The dimensions, if all are known.
    pub fn dims(&self) -> Option<Dims> {
        self.0.iter().copied().collect()
    }

    /// The number of elements, if all dimensions are known.
    pub fn len(&self) -> Option<usize> {
        self.0.iter().try_fold(1usize, |n, d| d.map(|d| n.saturating_mul(d)))
    }

    /// Is there a dimension of size zero?
    pub fn is_empty(&self) -> bool {
        self.0.contains(&Some(0))
    }
}

impl std::ops::Deref for Shape {
    type Target = [Dim];
    fn deref(&self) -> &[Dim] {
        &self.0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            match d {
                Some(d) => write!(f, "{d}")?,
                None => f.write_str("None")?,
            }
        }
        f.write_str(if self.0.len() == 1 { ",)" } else { ")" })
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is known of a value before it is computed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Its shape.
    pub shape: Shape,
    /// Its dtype.
    pub dtype: DType,
}

impl Spec {
    /// A spec of this shape and dtype.
    pub fn new(shape: Shape, dtype: DType) -> Spec {
        Spec { shape, dtype }
    }

    /// A fully known spec.
    pub fn known(dims: &[usize], dtype: DType) -> Spec {
        Spec { shape: Shape::known(dims), dtype }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shape {}, dtype {}", self.shape, self.dtype)
    }
}

/// The shape two shapes broadcast to, by NumPy's rule. An unknown dimension meets 1 as unknown, and any
/// other size as that size.
pub fn broadcast(who: &str, a: &[Dim], b: &[Dim]) -> Result<Shape> {
    let rank = a.len().max(b.len());
    let mut out = SmallVec::with_capacity(rank);
    for i in 0..rank {
        let get = |s: &[Dim]| if i + s.len() < rank { Some(1) } else { s[i + s.len() - rank] };
        out.push(match (get(a), get(b)) {
            (x, y) if x == y => x,
            (Some(1), y) => y,
            (x, Some(1)) => x,
            (None, y) => y,
            (x, None) => x,
            _ => {
                return Err(Error::value(
                    who,
                    "shapes that broadcast together (equal sizes, or 1, counted from the last axis)",
                    format!("{} and {}", Shape(a.into()), Shape(b.into())),
                ));
            }
        });
    }
    Ok(Shape(out))
}

/// An axis counted from the front, from one that may be negative.
pub fn axis(who: &str, axis: i64, rank: usize) -> Result<usize> {
    let a = if axis < 0 { axis + rank as i64 } else { axis };
    if a < 0 || a >= rank as i64 {
        return Err(Error::value(
            who,
            format!("an axis in [-{rank}, {rank}) for a tensor of rank {rank}"),
            format!("axis={axis}"),
        ));
    }
    Ok(a as usize)
}

/// Axes counted from the front, sorted, without repetition; an empty list stands for all axes.
pub fn axes(who: &str, list: &[i64], rank: usize) -> Result<SmallVec<[usize; 6]>> {
    if list.is_empty() {
        return Ok((0..rank).collect());
    }
    let mut out: SmallVec<[usize; 6]> = list.iter().map(|&a| axis(who, a, rank)).collect::<Result<_>>()?;
    out.sort_unstable();
    if out.windows(2).any(|w| w[0] == w[1]) {
        return Err(Error::value(who, "axes that differ", format!("axis={list:?}")));
    }
    Ok(out)
}

/// Do two dimensions agree as far as is known?
pub fn agree(a: Dim, b: Dim) -> bool {
    a.is_none() || b.is_none() || a == b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_keeps_unknown() {
        let a = Shape::new([None, Some(1), Some(3)]);
        let b = Shape::known(&[4, 3]);
        assert_eq!(broadcast("t", &a, &b).unwrap(), Shape::new([None, Some(4), Some(3)]));
        assert!(broadcast("t", &Shape::known(&[2]), &Shape::known(&[3])).is_err());
    }
}
