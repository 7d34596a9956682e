//! One step of long short-term memory on finished sums: what convolutional cells need of it.

use std::sync::Arc;

use rkeras_kernels::rnn as kernel;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::elementwise as ew;
use crate::ops::{concat, slice};
use crate::shape::{Spec, agree};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push};

/// (i, f, g, o) = z; c = s(f) c' + s(i) tanh(g); h = s(o) tanh(c). Inputs z (..., 4 units), c' (..., units); outputs h, c.
#[derive(Clone, Debug)]
pub struct LstmCell;

/// The gradient of [`LstmCell`]. Inputs z, c', the gradients of h and c; outputs those of z and c'.
#[derive(Clone, Debug)]
pub struct LstmCellGrad;

/// Checks z against the states, which are all alike.
fn check(who: &str, count: usize, x: &[Spec]) -> Result<()> {
    if x.len() != count {
        return Err(Error::value(who, format!("{count} inputs"), format!("{}", x.len())));
    }
    if !matches!(x[0].dtype, DType::F32 | DType::F64) {
        return Err(Error::dtype(who, "float32 or float64", x[0].dtype.name())
            .hint("half precision is cast to float32 around it"));
    }
    let (z, rank) = (&x[0].shape, x[0].shape.rank());
    for c in &x[1..] {
        let c = &c.shape;
        let fits = rank > 0
            && c.rank() == rank
            && z.iter().zip(c.iter()).take(rank - 1).all(|(&a, &b)| agree(a, b))
            && agree(z[rank - 1], c[rank - 1].map(|u| 4 * u));
        if !fits {
            return Err(Error::value(
                who,
                "z (..., 4 units) and states (..., units)",
                format!("{z} and {c}"),
            ));
        }
    }
    Ok(())
}

fn units(c: &View<'_>) -> usize {
    c.shape().last().copied().unwrap_or(0)
}

/// The four gates of z, finished.
fn gates(z: &Value, c: &Value) -> Result<[Value; 4]> {
    let axis = z.rank() - 1;
    let u = c.shape()[axis].or(z.shape()[axis].map(|d| d / 4));
    let u =
        u.ok_or_else(|| Error::value("lstm_cell", "a known number of units", z.shape().to_string()))? as i64;
    let part = |g: i64| slice::slice_axis(z, axis, g * u, (g + 1) * u);
    Ok([ew::sigmoid(&part(0)?)?, ew::sigmoid(&part(1)?)?, ew::tanh(&part(2)?)?, ew::sigmoid(&part(3)?)?])
}

impl Op for LstmCell {
    fn name(&self) -> &'static str {
        "lstm_cell"
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        check("lstm_cell", 2, x)?;
        Ok(Outputs::from_elem(x[1].clone(), 2))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let [h, c] = y else { unreachable!("two outputs") };
        float!(x[0].dtype, T => {
            kernel::lstm_cell(units(&x[1]), x[0].slice::<T>(), x[1].slice::<T>(), h.slice(), c.slice());
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let op: Arc<dyn Op> = Arc::new(LstmCellGrad);
        let args = [cx.x[0].clone(), cx.x[1].clone(), cx.dy(0)?, cx.dy(1)?];
        Ok(push(&op, &args)?.into_iter().map(Some).collect())
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, floats: true, vjp_ignores_outputs: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some((|| {
            let [i, f, g, o] = gates(&x[0], &x[1])?;
            let c = ew::add(&ew::multiply(&f, &x[1])?, &ew::multiply(&i, &g)?)?;
            Ok(vec![ew::multiply(&o, &ew::tanh(&c)?)?, c])
        })())
    }
}

impl Op for LstmCellGrad {
    fn name(&self) -> &'static str {
        "lstm_cell_grad"
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        check("lstm_cell_grad", 4, x)?;
        Ok(x[..2].iter().cloned().collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let [dz, dc] = y else { unreachable!("two outputs") };
        float!(x[0].dtype, T => {
            let [z, c, dh, dnext] = [0, 1, 2, 3].map(|i| x[i].slice::<T>());
            kernel::lstm_cell_grad(units(&x[1]), z, c, dh, dnext, dz.slice(), dc.slice());
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        cx.through(composed_grad)
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, vjp_ignores_outputs: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(composed_grad(x))
    }
}

fn composed_grad(x: &[Value]) -> Result<Vec<Value>> {
    let (before, dh, dnext) = (&x[1], &x[2], &x[3]);
    let [i, f, g, o] = gates(&x[0], before)?;
    let one_minus = |v: &Value| ew::add_scalar(&ew::negative(v)?, 1.0);
    let slope = |v: &Value| ew::multiply(v, &one_minus(v)?);
    let tc = ew::tanh(&ew::add(&ew::multiply(&f, before)?, &ew::multiply(&i, &g)?)?)?;
    let through = ew::multiply(&ew::multiply(dh, &o)?, &one_minus(&ew::square(&tc)?)?)?;
    let cell = ew::add(&through, dnext)?;
    let parts = [
        ew::multiply(&ew::multiply(&cell, &g)?, &slope(&i)?)?,
        ew::multiply(&ew::multiply(&cell, before)?, &slope(&f)?)?,
        ew::multiply(&ew::multiply(&cell, &i)?, &one_minus(&ew::square(&g)?)?)?,
        ew::multiply(&ew::multiply(dh, &tc)?, &slope(&o)?)?,
    ];
    Ok(vec![concat::concatenate(&parts, -1)?, ew::multiply(&cell, &f)?])
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![
        OpDef {
            name: "lstm_cell",
            make: |_| Ok(Arc::new(LstmCell)),
            samples: || {
                let f = Draw::float;
                vec![
                    Sample::new(LstmCell, vec![f(&[3, 20]), f(&[3, 5])]),
                    Sample::new(LstmCell, vec![f(&[2, 3, 68]), f(&[2, 3, 17])]),
                ]
            },
        },
        OpDef {
            name: "lstm_cell_grad",
            make: |_| Ok(Arc::new(LstmCellGrad)),
            samples: || {
                let f = Draw::float;
                vec![
                    Sample::new(LstmCellGrad, vec![f(&[3, 20]), f(&[3, 5]), f(&[3, 5]), f(&[3, 5])]),
                    Sample::new(LstmCellGrad, vec![f(&[2, 72]), f(&[2, 18]), f(&[2, 18]), f(&[2, 18])]),
                ]
            },
        },
    ]
}
