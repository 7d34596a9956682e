//! A network of two layers learns the exclusive or: `cargo run -p rkeras --example xor`.
//!
//! The step (forward, gradients, update) is traced once, compiled and run as a program; the weights are variables that
//! the program updates in place.

use rkeras::ops::{elementwise as ew, matmul::matmul, reduce};
use rkeras::{Graph, Program, Result, Tensor, Value, Variable, gradient, read, trace};

fn main() -> Result<()> {
    let x = Tensor::from_slice(&[4, 2], &[0f32, 0., 0., 1., 1., 0., 1., 1.])?;
    let y = Tensor::from_slice(&[4, 1], &[0f32, 1., 1., 0.])?;
    let weights = [
        Variable::new("hidden/kernel", &start(2, 8)?, true)?,
        Variable::new("hidden/bias", &Tensor::from_slice(&[8], &[0f32; 8])?, true)?,
        Variable::new("output/kernel", &start(8, 1)?, true)?,
        Variable::new("output/bias", &Tensor::from_slice(&[1], &[0f32])?, true)?,
    ];

    let graph = Graph::new();
    let (inputs, targets) = (graph.input(x.spec()), graph.input(y.spec()));
    let outputs = trace::with_mode(trace::Mode::Graph(graph.clone()), || -> Result<[Value; 2]> {
        let w: Vec<Value> = weights.iter().map(read).collect::<Result<_>>()?;
        let hidden = ew::tanh(&ew::add(&matmul(&inputs, &w[0], false, false)?, &w[1])?)?;
        let guess = ew::sigmoid(&ew::add(&matmul(&hidden, &w[2], false, false)?, &w[3])?)?;
        let loss = reduce::mean(&ew::square(&ew::subtract(&guess, &targets)?)?, None, false)?;
        let slopes = gradient(None, &[(loss.clone(), None)], &w)?;
        for ((variable, value), slope) in weights.iter().zip(&w).zip(slopes) {
            let slope = slope.expect("the loss depends on every weight");
            trace::assign(variable, &ew::subtract(value, &ew::scale(&slope, 2.0)?)?)?;
        }
        Ok([loss, guess])
    })?;
    let mut step = Program::compile(&graph, &outputs, "xor")?;

    let mut last = Vec::new();
    for i in 0..=2000 {
        last = step.run(&[&x, &y])?;
        if i % 500 == 0 {
            println!("step {i:4}: loss {:.4}", last[0].to_vec::<f32>()?[0]);
        }
    }
    let guesses = last[1].to_vec::<f32>()?;
    for (row, guess) in x.to_vec::<f32>()?.chunks(2).zip(&guesses) {
        println!("{} xor {} = {guess:.3}", row[0], row[1]);
    }
    let right = guesses.iter().zip([0f32, 1., 1., 0.]).all(|(g, t)| (g - t).abs() < 0.2);
    assert!(right, "four points are learned in 2000 steps");
    Ok(())
}

/// Different small weights without a random generator: the fractional parts of multiples of the golden ratio.
fn start(rows: usize, columns: usize) -> Result<Tensor> {
    let data: Vec<f32> = (1..=rows * columns).map(|i| (i as f32 * 0.618_034).fract() * 2.0 - 1.0).collect();
    Tensor::from_slice(&[rows, columns], &data)
}
