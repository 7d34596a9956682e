//! The instruction set that kernels use, chosen once when the first kernel runs.
//!
//! `RKERAS_ISA=portable|avx2|avx512` lowers the choice, so that tests can cover every level the machine
//! has; asking for more than the machine offers falls back to the best it has.

use std::sync::OnceLock;

/// An instruction-set level; higher levels include the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, any machine.
    Portable,
    /// x86-64 with AVX2 and FMA: 8 float32 lanes.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL: 16 float32 lanes.
    Avx512,
}

impl Level {
    /// The name that `RKERAS_ISA` understands.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

/// The best level this machine offers.
pub fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if avx2 && avx512 {
            return Level::Avx512;
        }
        if avx2 {
            return Level::Avx2;
        }
    }
    Level::Portable
}

/// The level in force: the best of the machine, lowered by `RKERAS_ISA`.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let best = detect();
        match std::env::var("RKERAS_ISA").as_deref() {
            Ok("portable") => Level::Portable,
            Ok("avx2") => best.min(Level::Avx2),
            _ => best,
        }
    })
}
