//! The registry: every op of the project, one line per family. An op that is not listed does not exist.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::op::OpDef;

/// Calls `$body` with `$t` as the element type: float64, else float32.
macro_rules! float {
    ($dtype:expr, $t:ident => $body:expr) => {
        if $dtype == $crate::dtype::DType::F64 {
            type $t = f64;
            $body
        } else {
            type $t = f32;
            $body
        }
    };
}

pub mod attention;
pub mod cast;
pub mod concat;
pub mod control;
pub mod conv;
pub mod conv_lstm;
pub mod conv_packed;
pub mod elementwise;
pub mod fused;
pub mod gather;
pub mod linalg;
pub mod lstm_cell;
pub mod matmul;
pub mod norm;
pub mod pooling;
pub mod random;
pub mod reduce;
pub mod reshape;
pub mod rnn;
pub mod slice;
pub mod softmax;
pub mod sort;

/// The families.
const FAMILIES: &[fn() -> Vec<OpDef>] = &[
    attention::ops,
    cast::ops,
    concat::ops,
    control::ops,
    conv::ops,
    conv_lstm::ops,
    elementwise::ops,
    gather::ops,
    linalg::ops,
    lstm_cell::ops,
    matmul::ops,
    pooling::ops,
    norm::ops,
    random::ops,
    reduce::ops,
    reshape::ops,
    rnn::ops,
    slice::ops,
    softmax::ops,
    sort::ops,
];

/// Every op by name.
pub fn registry() -> &'static BTreeMap<&'static str, OpDef> {
    static REGISTRY: OnceLock<BTreeMap<&'static str, OpDef>> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut all = BTreeMap::new();
        for def in FAMILIES.iter().flat_map(|family| family()) {
            let twice = all.insert(def.name, def);
            assert!(twice.is_none(), "op {} is listed twice", def.name);
        }
        all
    })
}
