//! Long short-term memory whose states are images, as a fused op over all steps of a sequence.
//!
//! As in [`super::rnn`]: the convolution of the inputs is an ordinary one before the op, for all steps at once, and so is,
//! in the gradient rule, the gradient of the kernel of the states after it.

use std::sync::Arc;

use rkeras_kernels::rnn as kernel;

use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::conv::{Conv, ConvInputGrad, ConvKernelGrad, Padding, Window};
use crate::ops::reshape;
use crate::ops::rnn::{
    Axis, BATCH, Loop, STEPS, UNITS, done, lstm_by_ops, lstm_grad_by_ops, lstm_vjp, sign, spec,
};
use crate::shape::{Dim, Spec};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push1};

/// (i, f, g, o) = x + h' * w, a convolution that keeps the size; c = s(f) c' + s(i) tanh(g); h = s(o) tanh(c). Inputs (the
/// mask,) x (batch, steps, spatial…, 4 units), h0, c0 (batch, spatial…, units), w (sizes…, units, 4 units); outputs every h,
/// the last c and, if `keep`, every c and the finished gates.
#[derive(Clone, Debug)]
pub struct ConvLstm {
    /// Direction and mask.
    pub over: Loop,
    /// Give what the gradient needs, too.
    pub keep: bool,
}

/// The gradient of [`ConvLstm`]. Inputs (the mask,) the gradients of every h and of the last c, w, c0, every c, the gates;
/// outputs the gradients of x, h0, c0.
#[derive(Clone, Debug)]
pub struct ConvLstmGrad {
    /// As in the forward op.
    pub over: Loop,
}

/// Sizes of a call: batch, steps, units, up to three of the images, as many of the kernel.
const SIZES: usize = 9;

/// The shapes of a call with `rank` spatial axes.
struct Shapes {
    state: Vec<Axis>,
    states: Vec<Axis>,
    gates: Vec<Axis>,
    kernel: Vec<Axis>,
}

impl Shapes {
    fn new(rank: usize) -> Shapes {
        let spatial = |first: usize| (0..rank).map(move |d| Axis(first + d, 1));
        let with = |lead: &[Axis], last: Axis| {
            lead.iter().copied().chain(spatial(3)).chain([last]).collect::<Vec<Axis>>()
        };
        Shapes {
            state: with(&[BATCH], UNITS),
            states: with(&[BATCH, STEPS], UNITS),
            gates: with(&[BATCH, STEPS], Axis(2, 4)),
            kernel: spatial(6).chain([UNITS, Axis(2, 4)]).collect(),
        }
    }

    /// The shapes of a call whose first input behind the mask is a sequence.
    fn of(who: &str, over: Loop, x: &[Spec]) -> Result<Shapes> {
        let rank = over.rest(x).first().map_or(0, |x| x.shape.rank());
        if !(4..=6).contains(&rank) {
            return Err(Error::value(
                who,
                "a sequence (batch, steps, one to three spatial axes, channels)",
                format!("{rank} dimensions"),
            ));
        }
        Ok(Shapes::new(rank - 3))
    }
}

/// The convolution of a state over `rank` axes.
fn convolution(rank: usize) -> Conv {
    let ones = vec![1; rank];
    let window = Window { strides: ones.clone(), padding: Padding::Same, dilation: ones };
    Conv { window, groups: 0, bias: false, activation: None, rounded: false }
}

/// The sizes of a call with states like `state` and kernel `w`.
fn sizes<'a>(
    state: &[usize],
    w: &[usize],
    steps: usize,
    over: Loop,
    mask: Option<&'a [u8]>,
) -> kernel::ConvLstmSizes<'a> {
    let conv = convolution(w.len() - 2).geometry("conv_lstm", state, w).expect("infer found the geometry");
    kernel::ConvLstmSizes { conv, steps, reverse: over.reverse, mask }
}

/// Batch and time as one axis.
fn images(x: &Value) -> Result<Value> {
    let mut shape = vec![-1];
    shape.extend(x.shape()[2..].iter().map(|&d| sign(d)));
    reshape::reshape(x, &shape)
}

/// Sizes of the spatial axes from `first` on, which a gradient knows.
fn known(x: &Value, first: usize, rank: usize) -> Result<Vec<i64>> {
    let dims = x.shape().dims().ok_or_else(|| Error::internal("conv_lstm", "unknown size in a gradient"))?;
    Ok(dims[first..first + rank].iter().map(|&d| d as i64).collect())
}

impl Op for ConvLstm {
    fn name(&self) -> &'static str {
        "conv_lstm"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.over.attrs();
        attrs.push(("keep", Attr::Bool(self.keep)));
        Attrs(attrs)
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let who = "conv_lstm";
        let s = Shapes::of(who, self.over, x)?;
        let shapes: [(&str, &[Axis]); 4] =
            [("x", &s.gates), ("h0", &s.state), ("c0", &s.state), ("w", &s.kernel)];
        let sizes: [Dim; SIZES] = self.over.check(who, x, &shapes)?;
        let dtype = self.over.rest(x)[0].dtype;
        let all: [&[Axis]; 4] = [&s.states, &s.state, &s.states, &s.gates];
        let count = if self.keep { 4 } else { 2 };
        Ok(all[..count].iter().map(|axes| spec(&sizes, axes, dtype)).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let mask = self.over.mask(x);
        let x = self.over.rest(x);
        let sizes = sizes(x[1].shape(), x[3].shape(), x[0].shape()[1], self.over, mask);
        let (h, rest) = y.split_first_mut().expect("at least two outputs");
        let (last, kept) = rest.split_first_mut().expect("at least two outputs");
        float!(x[0].dtype, T => {
            let kept = match kept {
                [c, gates] => Some((c.slice::<T>(), gates.slice::<T>())),
                _ => None,
            };
            let [x, h0, c0, w] = [0, 1, 2, 3].map(|i| x[i].slice::<T>());
            done(kernel::conv_lstm(sizes, x, h0, c0, w, h.slice(), last.slice(), kept), faults);
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        if cx.dy.iter().skip(2).any(Option::is_some) {
            return cx.through(|x| self.composed(x));
        }
        let keeping = (!self.keep).then(|| Arc::new(ConvLstm { keep: true, ..self.clone() }) as Arc<dyn Op>);
        lstm_vjp(cx, self.over, keeping, Arc::new(ConvLstmGrad { over: self.over }), |h, d, w| {
            let rank = w.rank() - 2;
            let op = ConvKernelGrad {
                conv: convolution(rank),
                sizes: known(w, 0, rank)?,
                channels: known(w, rank, 1)?[0],
                bias: false,
            };
            push1(op, &[images(h)?, images(d)?])
        })
    }

    fn traits(&self) -> Traits {
        self.over.traits()
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl ConvLstm {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let conv = convolution(self.over.rest(x)[3].rank() - 2);
        lstm_by_ops(self.over, self.keep, x, |h, w| push1(conv.clone(), &[h.clone(), w.clone()]))
    }
}

impl Op for ConvLstmGrad {
    fn name(&self) -> &'static str {
        "conv_lstm_grad"
    }

    fn attrs(&self) -> Attrs {
        Attrs(self.over.attrs())
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let who = "conv_lstm_grad";
        let s = Shapes::of(who, self.over, x)?;
        let shapes: [(&str, &[Axis]); 6] = [
            ("dh", &s.states),
            ("dc", &s.state),
            ("w", &s.kernel),
            ("c0", &s.state),
            ("c", &s.states),
            ("gates", &s.gates),
        ];
        let sizes: [Dim; SIZES] = self.over.check(who, x, &shapes)?;
        let dtype = self.over.rest(x)[0].dtype;
        let all: [&[Axis]; 3] = [&s.gates, &s.state, &s.state];
        Ok(all.iter().map(|axes| spec(&sizes, axes, dtype)).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let mask = self.over.mask(x);
        let x = self.over.rest(x);
        let sizes = sizes(x[1].shape(), x[2].shape(), x[0].shape()[1], self.over, mask);
        let [dx, dh0, dc0] = y else { unreachable!("three outputs") };
        float!(x[0].dtype, T => {
            let [dh, dc_last, w, c0, c, gates] = [0, 1, 2, 3, 4, 5].map(|i| x[i].slice::<T>());
            let a = kernel::ConvLstmGrad { sizes, dh, dc_last, w, c0, c, gates };
            done(kernel::conv_lstm_grad(a, dx.slice(), dh0.slice(), dc0.slice()), faults);
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        cx.through(|x| self.composed(x))
    }

    fn traits(&self) -> Traits {
        Traits { vjp_ignores_outputs: true, ..self.over.traits() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl ConvLstmGrad {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let (w, c0) = (&self.over.rest(x)[2], &self.over.rest(x)[3]);
        let rank = w.rank() - 2;
        let conv = ConvInputGrad {
            conv: convolution(rank),
            sizes: known(c0, 1, rank)?,
            channels: known(c0, rank + 1, 1)?[0],
            rounded: false,
        };
        lstm_grad_by_ops(self.over, x, |d, w| push1(conv.clone(), &[d.clone(), w.clone()]))
    }
}

/// Calls over a few sizes, directions and masks: one to three spatial axes, few images and many, rows too short for tiles.
fn samples_of<O: Op>(make: impl Fn(Loop) -> O, rest: impl Fn(Shapes) -> Vec<Vec<Axis>>) -> Vec<Sample> {
    let mut out = Vec::new();
    // Batch, steps, units, then the images and their kernel.
    let cases: [(&[usize; 3], &[usize], &[usize], bool, bool); 5] = [
        (&[2, 3, 2], &[5], &[3], false, false),
        (&[3, 2, 3], &[4, 3], &[2, 3], true, true),
        (&[9, 2, 2], &[3, 5], &[3, 2], false, true),
        (&[1, 2, 1], &[2, 2, 3], &[1, 2, 2], true, false),
        (&[2, 2, 9], &[4, 4], &[1, 1], false, false),
    ];
    for (lead, images, kernel, reverse, masked) in cases {
        let mut sizes = [1; SIZES];
        sizes[..3].copy_from_slice(lead);
        sizes[3..3 + images.len()].copy_from_slice(images);
        sizes[6..6 + kernel.len()].copy_from_slice(kernel);
        let shape = |axes: &[Axis]| axes.iter().map(|a| sizes[a.0] * a.1).collect::<Vec<usize>>();
        let mut inputs: Vec<Draw> = Vec::new();
        if masked {
            inputs.push(Draw::Bool(shape(&[BATCH, STEPS])));
        }
        let shapes = rest(Shapes::new(images.len()));
        inputs.extend(shapes.iter().map(|axes| Draw::Float(shape(axes), -0.9, 0.9)));
        out.push(Sample::new(make(Loop { reverse, masked }), inputs));
    }
    out
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![
        OpDef {
            name: "conv_lstm",
            make: |a| {
                Ok(Arc::new(ConvLstm { over: Loop::read(a)?, keep: a.opt_bool("keep")?.unwrap_or(false) }))
            },
            samples: || {
                let inputs = |s: Shapes| vec![s.gates, s.state.clone(), s.state, s.kernel];
                let mut all = samples_of(|over| ConvLstm { over, keep: false }, inputs);
                all.extend(samples_of(|over| ConvLstm { over, keep: true }, inputs));
                all
            },
        },
        OpDef {
            name: "conv_lstm_grad",
            make: |a| Ok(Arc::new(ConvLstmGrad { over: Loop::read(a)? })),
            samples: || {
                samples_of(
                    |over| ConvLstmGrad { over },
                    |s| vec![s.states.clone(), s.state.clone(), s.kernel, s.state, s.states, s.gates],
                )
            },
        },
    ]
}
