//! Convolution in one to three dimensions, channels last, and its two gradients, which are ops of their own.

use std::sync::Arc;

use rkeras_kernels::conv::{self as kernel, ConvShape};
use rkeras_kernels::map::Unary;
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::elementwise as ew;
use crate::shape::{Dim, Shape, Spec, agree};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push1};

/// How a window moves over the spatial axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Steps of the window, one per spatial axis.
    pub strides: Vec<i64>,
    /// Zeros before and after each spatial axis.
    pub padding: Padding,
    /// Steps inside of the window.
    pub dilation: Vec<i64>,
}

/// Zeros around the input.
#[derive(Clone, Debug, PartialEq)]
pub enum Padding {
    /// None.
    Valid,
    /// So many that the output has the input's size divided by the stride, rounded up.
    Same,
    /// All before the first element (one dimension).
    Causal,
    /// Given: before each axis; the output sizes follow from what comes after.
    Explicit(Vec<i64>, Vec<i64>),
}

impl Window {
    /// Reads the attributes of a window over `rank` axes.
    pub fn read(a: &mut AttrReader) -> Result<Window> {
        let strides = a.ints("strides")?;
        let dilation = a.opt_ints("dilation_rate")?.unwrap_or_else(|| vec![1; strides.len()]);
        let padding = match a.opt_str("padding")?.as_deref() {
            None | Some("valid") => Padding::Valid,
            Some("same") => Padding::Same,
            Some("causal") => Padding::Causal,
            Some("explicit") => Padding::Explicit(a.ints("pad_before")?, a.ints("pad_after")?),
            Some(other) => {
                return Err(Error::value(
                    "padding",
                    "\"valid\", \"same\" or \"causal\"",
                    format!("{other:?}"),
                ));
            }
        };
        Ok(Window { strides, padding, dilation })
    }

    /// The attributes.
    pub fn attrs(&self) -> Vec<(&'static str, Attr)> {
        let name = match self.padding {
            Padding::Valid => "valid",
            Padding::Same => "same",
            Padding::Causal => "causal",
            Padding::Explicit(..) => "explicit",
        };
        let mut out = vec![
            ("strides", Attr::Ints(self.strides.clone())),
            ("padding", Attr::Str(name.to_string())),
            ("dilation_rate", Attr::Ints(self.dilation.clone())),
        ];
        if let Padding::Explicit(before, after) = &self.padding {
            out.push(("pad_before", Attr::Ints(before.clone())));
            out.push(("pad_after", Attr::Ints(after.clone())));
        }
        out
    }

    fn check(&self, who: &str, rank: usize) -> Result<()> {
        let positive = |v: &[i64]| v.len() == rank && v.iter().all(|&s| s >= 1);
        if !positive(&self.strides) || !positive(&self.dilation) {
            return Err(Error::value(
                who,
                format!("{rank} strides and dilations of at least 1"),
                format!("strides={:?}, dilation_rate={:?}", self.strides, self.dilation),
            ));
        }
        if let Padding::Explicit(b, a) = &self.padding
            && (b.len() != rank || a.len() != rank || b.iter().chain(a).any(|&p| p < 0))
        {
            return Err(Error::value(who, format!("{rank} paddings of at least 0"), format!("{b:?}, {a:?}")));
        }
        Ok(())
    }

    /// Padding before the axis and output size, for input size `n` and window size `k` on axis `d`.
    pub fn axis(&self, who: &str, d: usize, n: usize, k: usize) -> Result<(usize, usize)> {
        let (s, reach) = (self.strides[d] as usize, (k.max(1) - 1) * self.dilation[d] as usize + 1);
        let (before, all) = match &self.padding {
            Padding::Valid => (0, n),
            Padding::Same => {
                let out = n.div_ceil(s);
                let total = ((out.max(1) - 1) * s + reach).saturating_sub(n);
                return Ok((total / 2, out));
            }
            Padding::Causal => (reach - 1, n + reach - 1),
            Padding::Explicit(b, a) => (b[d] as usize, n + b[d] as usize + a[d] as usize),
        };
        if all < reach {
            return Err(Error::value(
                who,
                format!("at least {reach} elements on spatial axis {d} (the reach of the window)"),
                format!("{all}"),
            )
            .hint("use padding=\"same\", a smaller window, or fewer downsampling layers before it"));
        }
        Ok((before, (all - reach) / s + 1))
    }

    /// The output size of an axis, if the input's is known.
    pub fn size(&self, who: &str, d: usize, n: Dim, k: usize) -> Result<Dim> {
        n.map(|n| self.axis(who, d, n, k).map(|(_, out)| out)).transpose()
    }
}

/// y = x * kernel. Inputs: x (batch, spatial…, c_in), kernel (spatial…, c_in / groups, c_out), and, if `bias`, one value
/// per output channel; `bias` and `activation` are set by the compiler.
#[derive(Clone, Debug)]
pub struct Conv {
    /// The window.
    pub window: Window,
    /// Groups of channels; 0 derives them from the shapes.
    pub groups: i64,
    /// Input 2 is a bias.
    pub bias: bool,
    /// Applied to the result.
    pub activation: Option<Unary>,
    /// The sums, and what bias and activation make of them, are rounded to bfloat16 each; set by the compiler.
    pub rounded: bool,
}

/// The gradient of the input of a [`Conv`], from dy and the kernel.
#[derive(Clone, Debug)]
pub struct ConvInputGrad {
    /// The convolution.
    pub conv: Conv,
    /// Spatial sizes of its input.
    pub sizes: Vec<i64>,
    /// Channels of its input.
    pub channels: i64,
    /// The result is rounded to bfloat16; set by the compiler.
    pub rounded: bool,
}

/// The gradient of the kernel of a [`Conv`], from x and dy; and that of a bias per output channel, if `bias`.
#[derive(Clone, Debug)]
pub struct ConvKernelGrad {
    /// The convolution.
    pub conv: Conv,
    /// Spatial sizes of the kernel.
    pub sizes: Vec<i64>,
    /// Input channels per group.
    pub channels: i64,
    /// A second output: the sum of dy for every channel; set by the compiler.
    pub bias: bool,
}

impl Conv {
    pub(crate) fn geometry(&self, who: &str, x: &[usize], k: &[usize]) -> Result<ConvShape> {
        let rank = k.len() - 2;
        let lead = 3 - rank;
        let mut s = ConvShape {
            n: x[0],
            in_sp: [1; 3],
            c_in: x[rank + 1],
            out_sp: [1; 3],
            c_out: k[rank + 1],
            k: [1; 3],
            stride: [1; 3],
            dilation: [1; 3],
            pad_lo: [0; 3],
            groups: x[rank + 1].checked_div(k[rank]).unwrap_or(1).max(1),
        };
        for d in 0..rank {
            let at = lead + d;
            (s.in_sp[at], s.k[at]) = (x[1 + d], k[d]);
            (s.stride[at], s.dilation[at]) =
                (self.window.strides[d] as usize, self.window.dilation[d] as usize);
            (s.pad_lo[at], s.out_sp[at]) = self.window.axis(who, d, x[1 + d], k[d])?;
        }
        Ok(s)
    }

    fn check(&self, who: &str, x: &Spec, k: &Spec) -> Result<Shape> {
        let rank = self.window.strides.len();
        if !(1..=3).contains(&rank) || x.shape.rank() != rank + 2 {
            return Err(Error::value(
                who,
                format!("{} dimensions (batch, {rank} spatial, channels)", rank + 2),
                format!("shape {}", x.shape),
            )
            .hint("add a batch or channel axis"));
        }
        self.window.check(who, rank)?;
        if k.shape.rank() != rank + 2 {
            return Err(Error::value(
                who,
                format!("a kernel of {} dimensions", rank + 2),
                format!("shape {}", k.shape),
            ));
        }
        let Some(kernel) = k.shape.dims() else {
            return Err(Error::value(who, "a kernel of known shape", format!("{}", k.shape)));
        };
        let (ci, co) = (kernel[rank], kernel[rank + 1]);
        if let Some(c) = x.shape[rank + 1]
            && (ci == 0 || c % ci != 0 || co % (c / ci).max(1) != 0)
        {
            return Err(Error::value(
                who,
                format!("input channels that the kernel {} divides into groups", k.shape),
                format!("{c} channels (shape {})", x.shape),
            ));
        }
        let mut out = Shape::new([x.shape[0]]);
        for d in 0..rank {
            out.0.push(self.window.size(who, d, x.shape[1 + d], kernel[d])?);
        }
        out.0.push(Some(co));
        Ok(out)
    }

    fn plain(&self) -> Conv {
        Conv { bias: false, activation: None, rounded: false, ..self.clone() }
    }
}

fn floats_only(who: &str, x: &Spec) -> Result<()> {
    if matches!(x.dtype, DType::F32 | DType::F64) {
        return Ok(());
    }
    Err(Error::dtype(who, "float32 or float64", x.dtype.name())
        .hint("half precision is cast to float32 around it"))
}

macro_rules! by_float {
    ($dtype:expr, $m:ident) => {
        if $dtype == DType::F64 { $m!(f64) } else { $m!(f32) }
    };
}

impl Op for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn attrs(&self) -> Attrs {
        let mut out = self.window.attrs();
        out.push(("bias", Attr::Bool(self.bias)));
        out.push(("activation", self.activation.map_or(Attr::None, |f| Attr::Str(f.name().to_string()))));
        out.push(("rounded", Attr::Bool(self.rounded)));
        Attrs(out)
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        floats_only("conv", &x[0])?;
        let shape = self.check("conv", &x[0], &x[1])?;
        if self.bias
            && !(x.len() == 3 && x[2].shape.rank() == 1 && agree(x[2].shape[0], shape[shape.rank() - 1]))
        {
            return Err(Error::internal("conv", "a bias that does not fit"));
        }
        Ok(Outputs::from_elem(Spec::new(shape, x[0].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let s = self.geometry("conv", x[0].shape(), x[1].shape()).expect("infer found the geometry");
        macro_rules! run {
            ($t:ty) => {{
                let bias = if self.bias { Some(x[2].slice::<$t>()) } else { None };
                kernel::forward(
                    &s,
                    x[0].slice::<$t>(),
                    x[1].slice::<$t>(),
                    bias,
                    self.activation,
                    self.rounded,
                    y[0].slice::<$t>(),
                )
            }};
        }
        if by_float!(x[0].dtype, run).is_err() {
            faults.set(Fault::Memory);
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let (x, k, dy) = (&cx.x[0], &cx.x[1], &cx.dy(0)?);
        if self.bias || self.activation.is_some() || self.rounded {
            return Err(Error::internal("conv", "a gradient asked of a convolution with an epilogue"));
        }
        let sizes = |v: &Value| -> Result<Vec<i64>> {
            let dims =
                v.shape().dims().ok_or_else(|| Error::internal("conv", "unknown size in a gradient"))?;
            Ok(dims.iter().map(|&d| d as i64).collect())
        };
        let (xs, ks) = (sizes(x)?, sizes(k)?);
        let rank = self.window.strides.len();
        // The kernel's gradient first: what reads dx is next then, and finds it in the cache.
        let dk = if cx.needs[1] {
            let op = ConvKernelGrad {
                conv: self.plain(),
                sizes: ks[..rank].to_vec(),
                channels: ks[rank],
                bias: false,
            };
            Some(push1(op, &[x.clone(), dy.clone()])?)
        } else {
            None
        };
        let dx = if cx.needs[0] {
            let op = ConvInputGrad {
                conv: self.plain(),
                sizes: xs[1..=rank].to_vec(),
                channels: xs[rank + 1],
                rounded: false,
            };
            Some(push1(op, &[dy.clone(), k.clone()])?)
        } else {
            None
        };
        Ok(vec![dx, dk])
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, vjp_ignores_outputs: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        if !self.bias && self.activation.is_none() && !self.rounded {
            return None;
        }
        let step = |y: Value| if self.rounded { push1(ew::UnaryOp(Unary::Bfloat16), &[y]) } else { Ok(y) };
        Some((|| {
            let mut y = step(push1(self.plain(), &x[..2])?)?;
            if self.bias {
                y = step(ew::add(&y, &x[2])?)?;
            }
            if let Some(f) = self.activation {
                y = step(push1(ew::UnaryOp(f), &[y])?)?;
            }
            Ok(vec![y])
        })())
    }

    fn rounded(&self) -> Option<Arc<dyn Op>> {
        let plain = !self.bias && self.activation.is_none();
        plain.then(|| Arc::new(Conv { rounded: true, ..self.clone() }) as Arc<dyn Op>)
    }
}

impl Op for ConvInputGrad {
    fn name(&self) -> &'static str {
        "conv_input_grad"
    }

    fn attrs(&self) -> Attrs {
        let mut out = self.conv.window.attrs();
        out.push(("sizes", Attr::Ints(self.sizes.clone())));
        out.push(("channels", Attr::Int(self.channels)));
        out.push(("rounded", Attr::Bool(self.rounded)));
        Attrs(out)
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let who = "conv_input_grad";
        floats_only(who, &x[0])?;
        let shape = Shape::new(
            std::iter::once(x[0].shape.first().copied().flatten())
                .chain(self.sizes.iter().map(|&d| Some(d as usize)))
                .chain([Some(self.channels as usize)]),
        );
        let dx = Spec::new(shape, x[0].dtype);
        let y = self.conv.check(who, &dx, &x[1])?;
        let fits =
            x[0].shape.rank() == y.rank() && x[0].shape.iter().zip(y.iter()).all(|(&a, &b)| agree(a, b));
        if !fits {
            return Err(Error::value(who, format!("gradients of shape {y}"), format!("{}", x[0].shape)));
        }
        Ok(Outputs::from_elem(dx, 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let s = self.conv.geometry("conv", y[0].shape, x[1].shape()).expect("infer found the geometry");
        macro_rules! run {
            ($t:ty) => {
                kernel::input_grad(
                    &s,
                    x[0].slice::<$t>(),
                    x[1].slice::<$t>(),
                    self.rounded,
                    y[0].slice::<$t>(),
                )
            };
        }
        if by_float!(x[0].dtype, run).is_err() {
            faults.set(Fault::Memory);
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        if self.rounded {
            return Err(Error::internal(self.name(), "a gradient asked of what the compiler joined"));
        }
        // dx is linear in dy and in the kernel: the transposes are the convolution and the kernel gradient.
        let (dy, k, g) = (&cx.x[0], &cx.x[1], &cx.dy(0)?);
        let rank = self.conv.window.strides.len();
        let for_dy =
            if cx.needs[0] { Some(push1(self.conv.clone(), &[g.clone(), k.clone()])?) } else { None };
        let ks = k.shape().dims().ok_or_else(|| Error::internal("conv", "unknown size in a gradient"))?;
        let op = ConvKernelGrad {
            conv: self.conv.clone(),
            sizes: ks[..rank].iter().map(|&d| d as i64).collect(),
            channels: ks[rank] as i64,
            bias: false,
        };
        let for_k = if cx.needs[1] { Some(push1(op, &[g.clone(), dy.clone()])?) } else { None };
        Ok(vec![for_dy, for_k])
    }

    fn rounded(&self) -> Option<Arc<dyn Op>> {
        Some(Arc::new(ConvInputGrad { rounded: true, ..self.clone() }))
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, vjp_ignores_outputs: true, ..Traits::default() }
    }
}

impl Op for ConvKernelGrad {
    fn name(&self) -> &'static str {
        "conv_kernel_grad"
    }

    fn attrs(&self) -> Attrs {
        let mut out = self.conv.window.attrs();
        out.push(("sizes", Attr::Ints(self.sizes.clone())));
        out.push(("channels", Attr::Int(self.channels)));
        out.push(("with_bias", Attr::Bool(self.bias)));
        Attrs(out)
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let who = "conv_kernel_grad";
        floats_only(who, &x[0])?;
        let last = x[1].shape.last().copied().flatten();
        let Some(c_out) = last else {
            return Err(Error::value(who, "gradients with known channels", format!("{}", x[1].shape)));
        };
        let shape = Shape::new(
            self.sizes.iter().map(|&d| Some(d as usize)).chain([Some(self.channels as usize), Some(c_out)]),
        );
        let dk = Spec::new(shape, x[0].dtype);
        let y = self.conv.check(who, &x[0], &dk)?;
        let fits =
            x[1].shape.rank() == y.rank() && x[1].shape.iter().zip(y.iter()).all(|(&a, &b)| agree(a, b));
        if !fits {
            return Err(Error::value(who, format!("gradients of shape {y}"), format!("{}", x[1].shape)));
        }
        let mut out = Outputs::from_elem(dk, 1);
        out.extend(self.bias.then(|| Spec::known(&[c_out], x[0].dtype)));
        Ok(out)
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let s = self.conv.geometry("conv", x[0].shape(), y[0].shape).expect("infer found the geometry");
        let (dk, db) = y.split_at_mut(1);
        macro_rules! run {
            ($t:ty) => {{
                let db = db.first_mut().map(|db| db.slice::<$t>());
                kernel::kernel_grad(&s, x[0].slice::<$t>(), x[1].slice::<$t>(), dk[0].slice::<$t>(), db)
            }};
        }
        if by_float!(x[0].dtype, run).is_err() {
            faults.set(Fault::Memory);
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        if self.bias {
            return Err(Error::internal(self.name(), "a gradient asked of what the compiler joined"));
        }
        let (x, dy, g) = (&cx.x[0], &cx.x[1], &cx.dy(0)?);
        let rank = self.conv.window.strides.len();
        let xs = x.shape().dims().ok_or_else(|| Error::internal("conv", "unknown size in a gradient"))?;
        let op = ConvInputGrad {
            conv: self.conv.clone(),
            sizes: xs[1..=rank].iter().map(|&d| d as i64).collect(),
            channels: xs[rank + 1] as i64,
            rounded: false,
        };
        let for_x = if cx.needs[0] { Some(push1(op, &[dy.clone(), g.clone()])?) } else { None };
        let for_dy =
            if cx.needs[1] { Some(push1(self.conv.clone(), &[x.clone(), g.clone()])?) } else { None };
        Ok(vec![for_x, for_dy])
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, vjp_ignores_outputs: true, ..Traits::default() }
    }
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    fn read(a: &mut AttrReader) -> Result<Conv> {
        let activation = match a.opt_str("activation")? {
            None => None,
            Some(name) => Some(Unary::from_name(&name).ok_or_else(|| {
                Error::value("conv", "the name of an elementwise function", format!("activation={name:?}"))
            })?),
        };
        Ok(Conv {
            window: Window::read(a)?,
            groups: 0,
            bias: a.opt_bool("bias")?.unwrap_or(false),
            activation,
            rounded: a.opt_bool("rounded")?.unwrap_or(false),
        })
    }
    fn cases() -> Vec<(Conv, Vec<usize>, Vec<usize>)> {
        let conv = |strides: &[i64], padding, dilation: &[i64]| Conv {
            window: Window { strides: strides.to_vec(), padding, dilation: dilation.to_vec() },
            groups: 0,
            bias: false,
            activation: None,
            rounded: false,
        };
        vec![
            (conv(&[2], Padding::Same, &[1]), vec![2, 7, 3], vec![3, 3, 4]),
            (conv(&[1], Padding::Causal, &[2]), vec![2, 6, 2], vec![3, 2, 3]),
            (conv(&[1, 1], Padding::Valid, &[1, 1]), vec![2, 6, 5, 3], vec![3, 2, 3, 5]),
            (conv(&[2, 1], Padding::Same, &[1, 1]), vec![1, 5, 6, 4], vec![3, 3, 2, 4]),
            (conv(&[1, 1], Padding::Valid, &[2, 1]), vec![1, 6, 4, 3], vec![2, 2, 1, 6]),
            (
                conv(&[1, 2, 1], Padding::Explicit(vec![1, 0, 0], vec![0, 1, 0]), &[1, 1, 1]),
                vec![1, 3, 4, 3, 2],
                vec![2, 2, 2, 2, 3],
            ),
        ]
    }
    fn out(conv: &Conv, x: &[usize], k: &[usize]) -> Vec<usize> {
        let spec =
            conv.infer(&[Spec::known(x, DType::F32), Spec::known(k, DType::F32)]).expect("samples fit");
        spec[0].shape.dims().expect("samples are known").to_vec()
    }
    vec![
        OpDef {
            name: "conv",
            make: |a| Ok(Arc::new(read(a)?)),
            samples: || {
                cases()
                    .into_iter()
                    .map(|(c, x, k)| Sample::new(c, vec![Draw::float(&x), Draw::float(&k)]))
                    .collect()
            },
        },
        OpDef {
            name: "conv_input_grad",
            make: |a| {
                let (sizes, channels) = (a.ints("sizes")?, a.int("channels")?);
                Ok(Arc::new(ConvInputGrad { conv: read(a)?, sizes, channels, rounded: false }))
            },
            samples: || {
                cases()
                    .into_iter()
                    .map(|(conv, x, k)| {
                        let y = out(&conv, &x, &k);
                        let sizes = x[1..x.len() - 1].iter().map(|&d| d as i64).collect();
                        let channels = x[x.len() - 1] as i64;
                        Sample::new(
                            ConvInputGrad { conv, sizes, channels, rounded: false },
                            vec![Draw::float(&y), Draw::float(&k)],
                        )
                    })
                    .collect()
            },
        },
        OpDef {
            name: "conv_kernel_grad",
            make: |a| {
                let (sizes, channels) = (a.ints("sizes")?, a.int("channels")?);
                let bias = a.opt_bool("with_bias")?.unwrap_or(false);
                Ok(Arc::new(ConvKernelGrad { conv: read(a)?, sizes, channels, bias }))
            },
            samples: || {
                cases()
                    .into_iter()
                    .map(|(conv, x, k)| {
                        let y = out(&conv, &x, &k);
                        let sizes = k[..k.len() - 2].iter().map(|&d| d as i64).collect();
                        let channels = k[k.len() - 2] as i64;
                        Sample::new(
                            ConvKernelGrad { conv, sizes, channels, bias: false },
                            vec![Draw::float(&x), Draw::float(&y)],
                        )
                    })
                    .collect()
            },
        },
    ]
}

/// Dimensions of an op's window as the kernels count them: three axes, leading ones.
pub(crate) fn three(values: impl Iterator<Item = usize>, rank: usize, fill: usize) -> [usize; 3] {
    let list: SmallVec<[usize; 3]> = values.collect();
    let mut out = [fill; 3];
    out[3 - rank..].copy_from_slice(&list);
    out
}
