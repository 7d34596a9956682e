//! Max and average pooling, channels last, and their gradients.

use std::sync::Arc;

use rkeras_kernels::pooling::{self as kernel, PoolShape};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::conv::{Padding, Window, three};
use crate::shape::{Shape, Spec, agree};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push1};

/// What is computed under a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The largest element.
    Max,
    /// The mean; padding does not count.
    Average,
}

/// The geometry of pooling.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Largest or mean.
    pub kind: Kind,
    /// Window sizes.
    pub size: Vec<i64>,
    /// How the window moves.
    pub window: Window,
}

/// Pools input 0 (batch, spatial…, channels).
#[derive(Clone, Debug)]
pub struct Pool(pub Geometry);

/// The gradient of [`Pool`]: from x and dy (max), or from dy and the input sizes (average).
#[derive(Clone, Debug)]
pub struct PoolGrad {
    /// The pooling.
    pub pool: Geometry,
    /// Spatial sizes of its input.
    pub sizes: Vec<i64>,
    /// x came out of a relu, whose gradient is taken along; set by the compiler.
    pub relu: bool,
}

/// The elements of input 1 where input 0 has the largest element under each window: the transpose of the max gradient.
#[derive(Clone, Debug)]
pub struct MaxPoolGather(pub Geometry);

impl Geometry {
    fn read(a: &mut AttrReader, kind: Kind) -> Result<Geometry> {
        Ok(Geometry { kind, size: a.ints("pool_size")?, window: Window::read(a)? })
    }

    fn attrs(&self) -> Vec<(&'static str, Attr)> {
        let mut out = self.window.attrs();
        out.push(("pool_size", Attr::Ints(self.size.clone())));
        out
    }

    fn check(&self, who: &str, x: &Spec) -> Result<Shape> {
        let rank = self.size.len();
        if !(1..=3).contains(&rank) || x.shape.rank() != rank + 2 {
            return Err(Error::value(
                who,
                format!("{} dimensions (batch, {rank} spatial, channels)", rank + 2),
                format!("shape {}", x.shape),
            ));
        }
        if !matches!(x.dtype, DType::F32 | DType::F64) {
            return Err(Error::dtype(who, "float32 or float64", x.dtype.name())
                .hint("other dtypes are cast around it"));
        }
        if self.size.iter().chain(&self.window.strides).any(|&s| s < 1) || self.window.strides.len() != rank {
            return Err(Error::value(
                who,
                format!("{rank} sizes and strides of at least 1"),
                format!("pool_size={:?}, strides={:?}", self.size, self.window.strides),
            ));
        }
        if self.window.dilation.iter().any(|&d| d != 1) || self.window.padding == Padding::Causal {
            return Err(Error::value(who, "a plain window", format!("{:?}", self.window)));
        }
        let mut out = Shape::new([x.shape[0]]);
        for d in 0..rank {
            out.0.push(self.window.size(who, d, x.shape[1 + d], self.size[d] as usize)?);
        }
        out.0.push(x.shape[rank + 1]);
        Ok(out)
    }

    fn shape(&self, x: &[usize]) -> PoolShape {
        let rank = self.size.len();
        let axes: Vec<(usize, usize)> = (0..rank)
            .map(|d| {
                self.window
                    .axis("pool", d, x[1 + d], self.size[d] as usize)
                    .expect("infer found the geometry")
            })
            .collect();
        PoolShape {
            n: x[0],
            in_sp: three(x[1..=rank].iter().copied(), rank, 1),
            out_sp: three(axes.iter().map(|a| a.1), rank, 1),
            c: x[rank + 1],
            window: three(self.size.iter().map(|&s| s as usize), rank, 1),
            stride: three(self.window.strides.iter().map(|&s| s as usize), rank, 1),
            pad_lo: three(axes.iter().map(|a| a.0), rank, 0),
        }
    }
}

macro_rules! by_float {
    ($dtype:expr, $m:ident) => {
        if $dtype == DType::F64 { $m!(f64) } else { $m!(f32) }
    };
}

impl Op for Pool {
    fn name(&self) -> &'static str {
        if self.0.kind == Kind::Max { "max_pool" } else { "average_pool" }
    }

    fn attrs(&self) -> Attrs {
        Attrs(self.0.attrs())
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let shape = self.0.check(self.name(), &x[0])?;
        Ok(Outputs::from_elem(Spec::new(shape, x[0].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let s = self.0.shape(x[0].shape());
        macro_rules! run {
            ($t:ty) => {{
                let f = if self.0.kind == Kind::Max { kernel::max } else { kernel::average };
                f(&s, x[0].slice::<$t>(), y[0].slice::<$t>())
            }};
        }
        by_float!(x[0].dtype, run)
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let x = &cx.x[0];
        let dims =
            x.shape().dims().ok_or_else(|| Error::internal(self.name(), "unknown size in a gradient"))?;
        let sizes = dims[1..dims.len() - 1].iter().map(|&d| d as i64).collect();
        let op = PoolGrad { pool: self.0.clone(), sizes, relu: false };
        let inputs = if self.0.kind == Kind::Max { vec![x.clone(), cx.dy(0)?] } else { vec![cx.dy(0)?] };
        Ok(vec![Some(push1(op, &inputs)?)])
    }

    fn traits(&self) -> Traits {
        Traits {
            vjp_ignores_inputs: self.0.kind == Kind::Average,
            vjp_ignores_outputs: true,
            selects: self.0.kind == Kind::Max,
            ..Traits::default()
        }
    }
}

impl Op for PoolGrad {
    fn name(&self) -> &'static str {
        if self.pool.kind == Kind::Max { "max_pool_grad" } else { "average_pool_grad" }
    }

    fn attrs(&self) -> Attrs {
        let mut out = self.pool.attrs();
        out.push(("sizes", Attr::Ints(self.sizes.clone())));
        out.push(("relu", Attr::Bool(self.relu)));
        Attrs(out)
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let dy = x.last().ok_or_else(|| Error::internal(self.name(), "no inputs"))?;
        let rank = dy.shape.rank();
        let ends = (dy.shape.first().copied().flatten(), dy.shape.last().copied().flatten());
        let shape = Shape::new(
            [ends.0].into_iter().chain(self.sizes.iter().map(|&d| Some(d as usize))).chain([ends.1]),
        );
        let dx = Spec::new(shape, dy.dtype);
        let y = self.pool.check(self.name(), &dx)?;
        let fits =
            |a: &Shape, b: &Shape| a.rank() == b.rank() && a.iter().zip(b.iter()).all(|(&a, &b)| agree(a, b));
        if rank != y.rank()
            || !fits(&dy.shape, &y)
            || (self.pool.kind == Kind::Max && !fits(&x[0].shape, &dx.shape))
        {
            return Err(Error::value(
                self.name(),
                format!("gradients of shape {y}"),
                format!("{}", dy.shape),
            ));
        }
        Ok(Outputs::from_elem(dx, 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let s = self.pool.shape(y[0].shape);
        macro_rules! run {
            ($t:ty) => {
                match self.pool.kind {
                    Kind::Max => kernel::max_grad(
                        &s,
                        self.relu,
                        x[0].slice::<$t>(),
                        x[1].slice::<$t>(),
                        y[0].slice::<$t>(),
                    ),
                    Kind::Average => kernel::average_grad(&s, x[0].slice::<$t>(), y[0].slice::<$t>()),
                }
            };
        }
        by_float!(y[0].dtype, run)
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let g = cx.dy(0)?;
        if self.relu {
            return Err(Error::internal(self.name(), "a gradient asked of what the compiler joined"));
        }
        // Linear in dy; where the largest element lies does not change in a small neighbourhood of x.
        Ok(match self.pool.kind {
            Kind::Max => vec![None, Some(push1(MaxPoolGather(self.pool.clone()), &[cx.x[0].clone(), g])?)],
            Kind::Average => vec![Some(push1(Pool(self.pool.clone()), &[g])?)],
        })
    }

    fn traits(&self) -> Traits {
        // Where windows do not overlap, every place gets the gradient of at most one.
        let apart = self.pool.size.iter().zip(&self.pool.window.strides).all(|(size, stride)| size <= stride);
        Traits { selects: self.pool.kind == Kind::Max && apart, ..Traits::default() }
    }
}

impl Op for MaxPoolGather {
    fn name(&self) -> &'static str {
        "max_pool_gather"
    }

    fn attrs(&self) -> Attrs {
        Attrs(self.0.attrs())
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let shape = self.0.check(self.name(), &x[0])?;
        Ok(Outputs::from_elem(Spec::new(shape, x[0].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let s = self.0.shape(x[0].shape());
        macro_rules! run {
            ($t:ty) => {
                kernel::max_gather(&s, x[0].slice::<$t>(), x[1].slice::<$t>(), y[0].slice::<$t>())
            };
        }
        by_float!(x[0].dtype, run)
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let dims = cx.x[0]
            .shape()
            .dims()
            .ok_or_else(|| Error::internal(self.name(), "unknown size in a gradient"))?;
        let sizes = dims[1..dims.len() - 1].iter().map(|&d| d as i64).collect();
        let op = PoolGrad { pool: self.0.clone(), sizes, relu: false };
        Ok(vec![None, Some(push1(op, &[cx.x[0].clone(), cx.dy(0)?])?)])
    }
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    fn cases(kind: Kind) -> Vec<(Geometry, Vec<usize>)> {
        let pool = |size: &[i64], strides: &[i64], padding| Geometry {
            kind,
            size: size.to_vec(),
            window: Window { strides: strides.to_vec(), padding, dilation: vec![1; size.len()] },
        };
        vec![
            (pool(&[2], &[2], Padding::Valid), vec![2, 7, 3]),
            (pool(&[3, 2], &[2, 1], Padding::Same), vec![2, 5, 4, 3]),
            (pool(&[2, 2, 2], &[1, 2, 2], Padding::Valid), vec![1, 3, 4, 4, 2]),
        ]
    }
    fn out(g: &Geometry, x: &[usize]) -> Vec<usize> {
        g.check("pool", &Spec::known(x, DType::F32))
            .expect("samples fit")
            .dims()
            .expect("samples are known")
            .to_vec()
    }
    fn pools(kind: Kind) -> Vec<Sample> {
        cases(kind).into_iter().map(|(g, x)| Sample::new(Pool(g), vec![Draw::float(&x)])).collect()
    }
    fn grads(kind: Kind) -> Vec<Sample> {
        cases(kind)
            .into_iter()
            .map(|(g, x)| {
                let dy = Draw::float(&out(&g, &x));
                let sizes = x[1..x.len() - 1].iter().map(|&d| d as i64).collect();
                let inputs = if kind == Kind::Max { vec![Draw::float(&x), dy] } else { vec![dy] };
                Sample::new(PoolGrad { pool: g, sizes, relu: false }, inputs)
            })
            .collect()
    }
    fn make_grad(a: &mut AttrReader, kind: Kind) -> Result<Arc<dyn Op>> {
        let relu = a.opt_bool("relu")?.unwrap_or(false);
        Ok(Arc::new(PoolGrad { sizes: a.ints("sizes")?, pool: Geometry::read(a, kind)?, relu }))
    }
    vec![
        OpDef {
            name: "max_pool",
            make: |a| Ok(Arc::new(Pool(Geometry::read(a, Kind::Max)?))),
            samples: || pools(Kind::Max),
        },
        OpDef {
            name: "average_pool",
            make: |a| Ok(Arc::new(Pool(Geometry::read(a, Kind::Average)?))),
            samples: || pools(Kind::Average),
        },
        OpDef { name: "max_pool_grad", make: |a| make_grad(a, Kind::Max), samples: || grads(Kind::Max) },
        OpDef {
            name: "average_pool_grad",
            make: |a| make_grad(a, Kind::Average),
            samples: || grads(Kind::Average),
        },
        OpDef {
            name: "max_pool_gather",
            make: |a| Ok(Arc::new(MaxPoolGather(Geometry::read(a, Kind::Max)?))),
            samples: || {
                let gather = |(g, x): (Geometry, Vec<usize>)| {
                    Sample::new(MaxPoolGather(g), vec![Draw::float(&x), Draw::float(&x)])
                };
                cases(Kind::Max).into_iter().map(gather).collect()
            },
        },
    ]
}
