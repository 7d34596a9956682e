//! Tasks: blocks of C whose rows of A and columns of B stay in the second-level cache.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::pack::{self, Raw};
use super::store;
use super::tiles::{self, BLOCK, Block, Operands, PANEL, STEP, Tiles};
use crate::buffer::{AllocError, Buffer};
use crate::convert::{Kind, convert_bytes, elements_mut};
use crate::gemm::Epilogue;
use crate::gemm::plan::place;
use crate::isa::Narrow;
use crate::par;
use crate::shared::Shared;

/// Bytes of A and B that a task works with.
const CACHE: usize = 1 << 20;
/// Enough tasks to keep many cores busy.
const TASKS: usize = 16;
/// Work below which a task is not cut further, in floating-point operations.
const TASK: usize = 4_000_000;
/// Rows or columns per piece of shared packing.
const PIECE: usize = 32;

/// A product whose parts were checked.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub level: Narrow,
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: Raw,
    pub b: Raw,
    pub c: *mut u8,
    pub ldc: usize,
    pub half: bool,
    /// A and B have traded places: blocks are transposed before they go to C.
    pub swapped: bool,
    pub ep: Epilogue<'a, f32>,
}

// SAFETY: tasks write disjoint blocks of C and only read the rest.
unsafe impl Send for Product<'_> {}
// SAFETY: as above.
unsafe impl Sync for Product<'_> {}

/// How a product is cut: a function of its shape.
struct Plan {
    /// k, rounded up to whole steps.
    kp: usize,
    /// From row to row of packed A.
    lda: usize,
    rows: usize,
    columns: usize,
    m_tasks: usize,
    n_tasks: usize,
}

impl Plan {
    fn new(p: &Product<'_>, batch: usize) -> Plan {
        let kp = p.k.next_multiple_of(STEP).max(STEP);
        // Rows at multiples of 2 KB would share few sets of the first-level cache.
        let lda = if (2 * kp).is_multiple_of(2048) { kp + STEP } else { kp };
        let whole = |x: usize| x.next_multiple_of(BLOCK);
        let room = (CACHE / (2 * kp) / BLOCK * BLOCK).max(2 * BLOCK);
        let fit = |x: usize, limit: usize| whole(x).min((limit / BLOCK * BLOCK).max(BLOCK));
        let (mut rows, mut columns) = if p.m <= p.n {
            let rows = fit(p.m, room * 3 / 4);
            (rows, fit(p.n, room - rows))
        } else {
            let columns = fit(p.n, room * 3 / 4);
            (fit(p.m, room - columns), columns)
        };
        let count = |r: usize, c: usize| p.m.div_ceil(r) * p.n.div_ceil(c) * batch;
        while count(rows, columns) < TASKS && 2 * rows * columns * kp > TASK && rows.max(columns) > BLOCK {
            // The longer side of C first: the shorter one's operand is then packed once.
            let cut_columns = if p.n >= p.m { columns > BLOCK } else { rows == BLOCK };
            let side = if cut_columns { &mut columns } else { &mut rows };
            *side = whole(*side / 2);
        }
        Plan { kp, lda, rows, columns, m_tasks: p.m.div_ceil(rows), n_tasks: p.n.div_ceil(columns) }
    }
}

/// Length of a piece of the sum, at least, and how many there are, at most, where a small C has a long sum: the gradient of
/// weights, summed over the rows of a batch. Whoever made those rows has them in its cache, and packs them once.
const LENGTH: usize = 512;
const PIECES: usize = 8;
/// Elements of such a C.
const SMALL: usize = 1 << 16;

/// Runs the product for every offset.
///
/// # Safety
/// Every element that the product names exists, for every offset; results are disjoint; the machine has the level.
pub(super) unsafe fn run(p: Product<'_>, offsets: &[[usize; 3]]) -> Result<(), AllocError> {
    let long = p.k >= 4 * LENGTH && p.m * p.n <= SMALL && p.ep.bias.is_none() && p.ep.activation.is_none();
    let (&[[oa, ob, oc]], true) = (offsets, long) else {
        // SAFETY: passed on.
        return unsafe { whole(p, offsets) };
    };
    let (pieces, size) = ((p.k / LENGTH).min(PIECES), p.m * p.n);
    let mut copies = Buffer::scratch(4 * pieces * size)?;
    let at = copies.bytes_mut().as_mut_ptr() as usize;
    let start = |piece: usize| if piece == pieces { p.k } else { piece * p.k / pieces / STEP * STEP };
    let missing = AtomicUsize::new(0);
    let product = &p;
    par::run(pieces, |piece| {
        let p = product;
        let (from, to) = (start(piece), start(piece + 1));
        let part = Product {
            k: to - from,
            a: Raw { at: p.a.at.wrapping_add(oa + from * p.a.cs), ..p.a },
            b: Raw { at: p.b.at.wrapping_add(ob + from * p.b.rs), ..p.b },
            c: (at as *mut u8).wrapping_add(4 * piece * size),
            ldc: p.n,
            half: false,
            ..*p
        };
        // SAFETY: a part of the sum, and a copy of C of its own.
        if let Err(e) = unsafe { whole(part, &[[0; 3]]) } {
            missing.fetch_max(e.bytes.max(1), Ordering::Relaxed);
        }
    });
    match missing.into_inner() {
        0 => {}
        bytes => return Err(AllocError { bytes }),
    }
    let copies = Shared::new(elements_mut::<f32>(copies.bytes_mut()));
    let (width, kind) = if p.half { (2, Kind::BF16) } else { (4, Kind::F32) };
    par::run(p.m.div_ceil(PIECE), |block| {
        let p = product;
        for row in block * PIECE..((block + 1) * PIECE).min(p.m) {
            // SAFETY: this row of every copy, and of C, belongs to this piece of work alone.
            unsafe {
                let sum = copies.part(row * p.n, p.n);
                for piece in 1..pieces {
                    let more = copies.part(piece * size + row * p.n, p.n);
                    sum.iter_mut().zip(more).for_each(|(sum, x)| *sum += *x);
                }
                let c = std::slice::from_raw_parts_mut(p.c.add((oc + row * p.ldc) * width), p.n * width);
                convert_bytes(Kind::F32, super::bytes_of(sum), kind, c);
            }
        }
    });
    Ok(())
}

/// Runs the product with whole sums.
///
/// # Safety
/// As for [`run`].
unsafe fn whole(mut p: Product<'_>, offsets: &[[usize; 3]]) -> Result<(), AllocError> {
    // B is always packed, A only where its rows are not contiguous: so the one that can be read where it lies, or the
    // smaller one, takes the place that fits.
    let cost = |a: Raw, a_len: usize, b_len: usize| if a.cs == 1 { b_len } else { a_len + b_len };
    let turned = |x: Raw| Raw { at: x.at, rs: x.cs, cs: x.rs };
    if cost(turned(p.b), p.n, p.m) < cost(p.a, p.m, p.n) {
        p = Product { m: p.n, n: p.m, a: turned(p.b), b: turned(p.a), swapped: true, ..p };
    }
    let plan = Plan::new(&p, offsets.len());
    let tasks = plan.m_tasks * plan.n_tasks;
    let aligned = |at: *const u16| (at as usize).is_multiple_of(64);
    let (ia, ib) = if p.swapped { (1, 0) } else { (0, 1) };
    let direct = p.a.cs == 1
        && p.k > 0
        && p.k.is_multiple_of(STEP)
        && p.a.rs.is_multiple_of(STEP)
        && offsets.iter().all(|o| aligned(p.a.at.wrapping_add(o[ia])));
    let single = offsets.len() == 1;
    let share_a = single && !direct && plan.n_tasks > 1;
    let share_b = single && plan.m_tasks > 1;
    let bytes = |wanted: bool, len: usize| if wanted { 2 * len } else { 0 };
    let mut a_buffer = Buffer::scratch(bytes(share_a, p.m * plan.lda))?;
    let mut b_buffer = Buffer::scratch(bytes(share_b, p.n.next_multiple_of(PANEL) * plan.kp))?;
    let a_at = a_buffer.bytes_mut().as_mut_ptr() as usize;
    let b_at = b_buffer.bytes_mut().as_mut_ptr() as usize;
    if share_a || share_b {
        let [oa, ob] = [offsets[0][ia], offsets[0][ib]];
        let a_pieces = if share_a { p.m.div_ceil(PIECE) } else { 0 };
        let b_pieces = if share_b { p.n.div_ceil(PIECE) } else { 0 };
        let (product, plan) = (&p, &plan);
        par::run(a_pieces + b_pieces, |i| {
            // SAFETY: pieces are disjoint, inside of the matrices and of the buffers.
            unsafe {
                if i < a_pieces {
                    let from = i * PIECE;
                    let out = (a_at as *mut u16).add(from * plan.lda);
                    pack_a(product, plan, oa, from, PIECE.min(product.m - from), out);
                } else {
                    let from = (i - a_pieces) * PIECE;
                    let out = (b_at as *mut u16).add(from * plan.kp);
                    pack_b(product, plan, ob, from, PIECE.min(product.n - from), out);
                }
            }
        });
    }
    let missing = AtomicUsize::new(0);
    let product = &p;
    par::run(tasks * offsets.len(), |i| {
        let o = offsets[i / tasks];
        let shared = (share_a.then_some(a_at), share_b.then_some(b_at));
        // SAFETY: tasks are disjoint blocks of disjoint results.
        if let Err(e) = unsafe { task(product, &plan, [o[ia], o[ib], o[2]], i % tasks, direct, shared) } {
            missing.fetch_max(e.bytes.max(1), Ordering::Relaxed);
        }
    });
    match missing.into_inner() {
        0 => Ok(()),
        bytes => Err(AllocError { bytes }),
    }
}

/// # Safety
/// As for [`run`]; there is room for the rows.
unsafe fn pack_a(p: &Product<'_>, plan: &Plan, offset: usize, from: usize, rows: usize, out: *mut u16) {
    let x = Raw { at: p.a.at.wrapping_add(offset + from * p.a.rs), ..p.a };
    // SAFETY: the caller's promise; both levels include what packing needs.
    unsafe { pack::rows(x, rows, p.k, plan.kp, out, plan.lda) }
}

/// # Safety
/// As for [`run`]; there is room for whole panels.
unsafe fn pack_b(p: &Product<'_>, plan: &Plan, offset: usize, from: usize, columns: usize, out: *mut u16) {
    let x = Raw { at: p.b.at.wrapping_add(offset + from * p.b.cs), ..p.b };
    // SAFETY: the caller's promise; both levels include what packing needs.
    unsafe { pack::panels(x, columns, p.k, plan.kp, out) }
}

/// One task.
///
/// # Safety
/// As for [`run`].
unsafe fn task(
    p: &Product<'_>,
    plan: &Plan,
    [oa, ob, oc]: [usize; 3],
    index: usize,
    direct: bool,
    shared: (Option<usize>, Option<usize>),
) -> Result<(), AllocError> {
    let (ti, tj) = place(index, [plan.m_tasks, plan.n_tasks], [p.m, p.n]);
    let (i0, j0) = (ti * plan.rows, tj * plan.columns);
    let (m, n) = (plan.rows.min(p.m - i0), plan.columns.min(p.n - j0));
    let own_a = !direct && shared.0.is_none();
    let own_b = shared.1.is_none();
    let mut a_buffer = Buffer::scratch(if own_a { 2 * m * plan.lda } else { 0 })?;
    let mut b_buffer = Buffer::scratch(if own_b { 2 * n.next_multiple_of(PANEL) * plan.kp } else { 0 })?;
    let (mut a, mut stride) = (p.a.at.wrapping_add(oa + i0 * p.a.rs), p.a.rs);
    if let Some(at) = shared.0 {
        (a, stride) = ((at as *const u16).wrapping_add(i0 * plan.lda), plan.lda);
    } else if own_a {
        let out = a_buffer.bytes_mut().as_mut_ptr().cast();
        // SAFETY: the rows of this task, and a buffer for them.
        unsafe { pack_a(p, plan, oa, i0, m, out) };
        (a, stride) = (out, plan.lda);
    }
    let b = match shared.1 {
        Some(at) => (at as *const u16).wrapping_add(j0 * plan.kp),
        None => {
            let out = b_buffer.bytes_mut().as_mut_ptr().cast();
            // SAFETY: the columns of this task, and a buffer for them.
            unsafe { pack_b(p, plan, ob, j0, n, out) };
            out
        }
    };
    let mut tiles = Tiles::new();
    let mut block = Block([0.0; BLOCK * BLOCK]);
    let (across, down) = (n.div_ceil(BLOCK), m.div_ceil(BLOCK));
    for at in 0..across * down {
        // The smaller operand passes by again and again, the larger one once.
        let (i, j) = if m > n { (at / across, at % across) } else { (at % down, at / down) };
        let (i, j) = (i * BLOCK, j * BLOCK);
        let (rows, columns) = (BLOCK.min(m - i), BLOCK.min(n - j));
        let o = Operands {
            a: a.wrapping_add(i * stride),
            a_stride: 2 * stride,
            rows,
            b: b.wrapping_add(j * plan.kp),
            panel: PANEL * plan.kp,
            panels: columns.div_ceil(PANEL),
            steps: plan.kp / STEP,
        };
        // SAFETY: the block's rows and panels exist; its part of C belongs to this task.
        unsafe {
            match p.level {
                Narrow::Amx => tiles.block(&o, &mut block),
                _ => tiles::dots(&o, &mut block),
            }
            let mut out = store::Out {
                c: p.c.add(oc * if p.half { 2 } else { 4 }),
                ldc: p.ldc,
                half: p.half,
                at: (i0 + i, j0 + j),
                rows,
                columns,
                bias: p.ep.bias,
                activation: p.ep.activation,
            };
            if p.swapped {
                store::turn(&mut block);
                out.at = (j0 + j, i0 + i);
                (out.rows, out.columns) = (columns, rows);
            }
            store::store(&mut block, &out);
        }
    }
    Ok(())
}
