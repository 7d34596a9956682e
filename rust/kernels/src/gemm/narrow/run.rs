//! Tasks: blocks of C whose rows of A and columns of B stay in the second-level cache.

use super::pack::{self, Raw};
use super::tiles::{BLOCK, Block, Operands, PANEL, STEP, Tiles};
use super::{dots, store};
use crate::buffer::{AllocError, Buffer};
use crate::convert::{Kind, convert_bytes, elements_mut};
use crate::gemm::Epilogue;
use crate::gemm::plan::{PAGE, place};
use crate::isa::Narrow;
use crate::map::Unary;
use crate::par;
use crate::shared::Shared;

/// Bytes of the shorter operand that a task works with; of the other one it takes half as many at a time.
const CACHE: usize = 1 << 20;
/// The same of a piece of a long sum, which has a copy of C in the second-level cache as well.
const PIECE_CACHE: usize = 1 << 18;
/// Rows or columns that a task takes whole, at most.
const WHOLE: usize = 1024;
/// Enough tasks to keep many cores busy.
const TASKS: usize = 16;
/// Work below which a task is not cut further, in floating-point operations.
const TASK: usize = 4_000_000;
/// Rows or columns per piece of shared packing.
const PIECE: usize = 32;
/// The same where rows are packed in tiles: they are read along columns, which lie far apart.
const TILES_PIECE: usize = 8 * dots::ROWS;

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

impl Product<'_> {
    /// The same product, of the transposes.
    fn turned(self) -> Self {
        let (a, b) = (self.b.turned(), self.a.turned());
        Product { m: self.n, n: self.m, a, b, swapped: !self.swapped, ..self }
    }

    /// Bytes of an element of C.
    fn width(&self) -> usize {
        if self.half { 2 } else { 4 }
    }
}

// SAFETY: tasks write disjoint blocks of C and only read the rest.
unsafe impl Send for Product<'_> {}
// SAFETY: as above.
unsafe impl Sync for Product<'_> {}

/// How large tasks are.
#[derive(Clone, Copy)]
struct Size {
    /// So many tasks, if the product is large enough.
    least: usize,
    /// Bytes of the shorter operand.
    cache: usize,
}

/// How a product is cut: a function of its shape.
struct Plan {
    /// k, rounded up to whole steps.
    kp: usize,
    /// A is packed in tiles, not in rows.
    tiles: bool,
    /// From row to row of packed A, if not in tiles.
    lda: usize,
    rows: usize,
    columns: usize,
    m_tasks: usize,
    n_tasks: usize,
}

impl Plan {
    fn new(p: &Product<'_>, batch: usize, Size { least, cache }: Size) -> Plan {
        let kp = p.k.next_multiple_of(STEP).max(STEP);
        // Rows at multiples of 2 KB would share few sets of the first-level cache.
        let tiles = p.level != Narrow::Amx && p.a.cs != 1;
        let lda = if (2 * kp).is_multiple_of(2048) && !tiles { kp + STEP } else { kp };
        let high = if tiles { dots::ROWS } else { BLOCK };
        let room = (cache / (2 * kp) / BLOCK * BLOCK).max(2 * BLOCK);
        let fit = |x: usize, limit: usize, unit: usize| {
            x.next_multiple_of(unit).min((limit / unit * unit).max(unit))
        };
        // The shorter side whole, if there is room for it.
        let most = |x: usize, unit: usize| if x > room.min(WHOLE) { room * 3 / 4 } else { x + unit };
        let (mut rows, mut columns) = if p.m <= p.n {
            (fit(p.m, most(p.m, high), high), fit(p.n, room / 2, BLOCK))
        } else {
            (fit(p.m, room / 2, high), fit(p.n, most(p.n, BLOCK), BLOCK))
        };
        // Tiles are packed along columns of A, which lie far apart: short parts of them would be read slowly.
        let shortest = if tiles { 5 * high } else { high };
        let count = |r: usize, c: usize| p.m.div_ceil(r) * p.n.div_ceil(c) * batch;
        while count(rows, columns) < least
            && 2 * rows * columns * kp > TASK
            && (rows > shortest || columns > BLOCK)
        {
            // The longer side of C first: the shorter one's operand is then packed once.
            let cut_columns = if p.n >= p.m { columns > BLOCK } else { rows <= shortest };
            let (side, unit) = if cut_columns { (&mut columns, BLOCK) } else { (&mut rows, high) };
            *side = (*side / 2).next_multiple_of(unit);
        }
        Plan { kp, tiles, lda, rows, columns, m_tasks: p.m.div_ceil(rows), n_tasks: p.n.div_ceil(columns) }
    }

    /// Elements of so many first rows of packed A; of whole tiles, where it is in tiles.
    fn packed(&self, rows: usize) -> usize {
        if self.tiles { rows.div_ceil(dots::ROWS) * pack::tile_len(self.kp) } else { rows * self.lda }
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
        return unsafe { whole(p, offsets, Size { least: TASKS, cache: CACHE }) };
    };
    let (pieces, size) = ((p.k / LENGTH).min(PIECES), p.m * p.n);
    let mut copies = Buffer::scratch(4 * pieces * size)?;
    let at = copies.bytes_mut().as_mut_ptr() as usize;
    let start = |piece: usize| if piece == pieces { p.k } else { piece * p.k / pieces / STEP * STEP };
    let product = &p;
    par::try_run(pieces, |piece| {
        let p = product;
        let (from, to) = (start(piece), start(piece + 1));
        let mut part = Product {
            k: to - from,
            a: Raw { at: p.a.at.wrapping_add(oa + from * p.a.cs), ..p.a },
            b: Raw { at: p.b.at.wrapping_add(ob + from * p.b.rs), ..p.b },
            c: (at as *mut u8).wrapping_add(4 * piece * size),
            ldc: p.n,
            half: false,
            ..*p
        };
        // Long rows are read faster into panels than into tiles; of so long a sum the way back costs less.
        if p.level != Narrow::Amx && p.a.cs != 1 && p.b.rs != 1 && p.m > 2 * p.n {
            part = part.turned();
        }
        // Pieces are the tasks: of a smaller part of C a task would read short parts of rows.
        // SAFETY: a part of the sum, and a copy of C of its own.
        unsafe { whole(part, &[[0; 3]], Size { least: 1, cache: PIECE_CACHE }) }
    })?;
    let copies = Shared::new(elements_mut::<f32>(copies.bytes_mut()));
    let (width, kind) = (p.width(), if p.half { Kind::BF16 } else { Kind::F32 });
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
unsafe fn whole(mut p: Product<'_>, offsets: &[[usize; 3]], size: Size) -> Result<(), AllocError> {
    // B is always packed, A only where its rows are not contiguous: so the one that can be read where it lies, or the
    // smaller one, takes the place that fits.
    let cost = |a: Raw, a_len: usize, b_len: usize| if a.cs == 1 { b_len } else { a_len + b_len };
    if cost(p.b.turned(), p.n, p.m) < cost(p.a, p.m, p.n) {
        p = p.turned();
    }
    let plan = Plan::new(&p, offsets.len(), size);
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
    let mut a_buffer = Buffer::scratch(bytes(share_a, plan.packed(p.m)))?;
    let mut b_buffer = Buffer::scratch(bytes(share_b, p.n.next_multiple_of(PANEL) * plan.kp))?;
    let a_at = a_buffer.bytes_mut().as_mut_ptr() as usize;
    let b_at = b_buffer.bytes_mut().as_mut_ptr() as usize;
    if share_a || share_b {
        let [oa, ob] = [offsets[0][ia], offsets[0][ib]];
        let high = if plan.tiles { TILES_PIECE } else { PIECE };
        let a_pieces = if share_a { p.m.div_ceil(high) } else { 0 };
        let b_pieces = if share_b { p.n.div_ceil(PIECE) } else { 0 };
        let (product, plan) = (&p, &plan);
        par::run(a_pieces + b_pieces, |i| {
            // SAFETY: pieces are disjoint, inside of the matrices and of the buffers.
            unsafe {
                if i < a_pieces {
                    let from = i * high;
                    let out = (a_at as *mut u16).add(plan.packed(from));
                    pack_a(product, plan, oa, from, high.min(product.m - from), out);
                } else {
                    let from = (i - a_pieces) * PIECE;
                    let out = (b_at as *mut u16).add(from * plan.kp);
                    pack_b(product, plan, ob, from, PIECE.min(product.n - from), out);
                }
            }
        });
    }
    let product = &p;
    par::try_run(tasks * offsets.len(), |i| {
        let o = offsets[i / tasks];
        let shared = (share_a.then_some(a_at), share_b.then_some(b_at));
        // SAFETY: tasks are disjoint blocks of disjoint results.
        unsafe { task(product, &plan, [o[ia], o[ib], o[2]], i % tasks, direct, shared) }
    })
}

/// # Safety
/// As for [`run`]; there is room for the rows.
unsafe fn pack_a(p: &Product<'_>, plan: &Plan, offset: usize, from: usize, rows: usize, out: *mut u16) {
    let x = Raw { at: p.a.at.wrapping_add(offset + from * p.a.rs), ..p.a };
    // SAFETY: the caller's promise; both levels include what packing needs.
    unsafe {
        if plan.tiles {
            pack::tiles(x, rows, p.k, plan.kp, out)
        } else {
            pack::rows(x, rows, p.k, plan.kp, out, plan.lda)
        }
    }
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
    let mut a_buffer = Buffer::scratch(if own_a { 2 * plan.packed(m) } else { 0 })?;
    let mut b_buffer = Buffer::scratch(if own_b { 2 * n.next_multiple_of(PANEL) * plan.kp } else { 0 })?;
    let packed = |at: *const u16| if plan.tiles { Rows::Tiles(at) } else { Rows::Apart(at, plan.lda) };
    let a = match shared.0 {
        Some(at) => packed((at as *const u16).wrapping_add(plan.packed(i0))),
        None if direct => Rows::Apart(p.a.at.wrapping_add(oa + i0 * p.a.rs), p.a.rs),
        None => {
            let out = a_buffer.bytes_mut().as_mut_ptr().cast();
            // SAFETY: the rows of this task, and a buffer for them.
            unsafe { pack_a(p, plan, oa, i0, m, out) };
            packed(out)
        }
    };
    let b = match shared.1 {
        Some(at) => (at as *const u16).wrapping_add(j0 * plan.kp),
        None => {
            let out = b_buffer.bytes_mut().as_mut_ptr().cast();
            // SAFETY: the columns of this task, and a buffer for them.
            unsafe { pack_b(p, plan, ob, j0, n, out) };
            out
        }
    };
    let part = Part { p, at: (i0, j0), m, n, a, b, kp: plan.kp, c: p.c.wrapping_add(oc * p.width()) };
    // SAFETY: the operands were packed or are read where they lie; this part of C belongs to this task.
    unsafe { if p.level == Narrow::Amx { part.blocks() } else { part.tiles() } }
    Ok(())
}

/// A as products read it.
#[derive(Clone, Copy)]
enum Rows {
    /// k is contiguous; from row to row, in elements.
    Apart(*const u16, usize),
    /// In tiles, see [`pack::tiles`].
    Tiles(*const u16),
}

/// The part of C that a task computes.
struct Part<'a> {
    p: &'a Product<'a>,
    /// Its first row and column.
    at: (usize, usize),
    m: usize,
    n: usize,
    a: Rows,
    b: *const u16,
    kp: usize,
    /// The first element of all of C.
    c: *mut u8,
}

impl Part<'_> {
    /// By tiles of dot products: from registers to C, or by way of a block where more is to be done.
    ///
    /// # Safety
    /// As for [`run`]; the level is [`Narrow::Avx512Bf16`].
    unsafe fn tiles(&self) {
        let (p, (i0, j0)) = (self.p, self.at);
        let straight = !p.swapped && p.ep.activation.is_none_or(|f| f == Unary::Relu);
        let mut block = Block([0.0; BLOCK * BLOCK]);
        let high = match self.a {
            // The first-level cache has eight places for rows that far apart.
            Rows::Apart(_, stride) if (2 * stride).is_multiple_of(PAGE) => 8,
            _ => dots::ROWS,
        };
        let (across, down) = (self.n.div_ceil(BLOCK), self.m.div_ceil(high));
        for at in 0..across * down {
            let (tile, j) = order(at, (self.m, self.n), (down, across));
            let (i, end, [a, row, pair]) = match self.a {
                Rows::Tiles(a) => {
                    let i = tile * dots::ROWS;
                    let tile = a.wrapping_add(tile * pack::tile_len(self.kp));
                    (i, self.m.min(i + dots::ROWS), [tile as usize, pack::PAIR, PANEL * pack::PAIR])
                }
                // Tiles share the rows evenly: one of two rows takes nearly as long as one of six.
                Rows::Apart(a, stride) => {
                    let (i, end) = (tile * self.m / down, (tile + 1) * self.m / down);
                    (i, end, [a.wrapping_add(i * stride) as usize, 2 * stride, pack::PAIR])
                }
            };
            let j = j * BLOCK;
            let (rows, columns) = (end - i, BLOCK.min(self.n - j));
            let o = dots::Operands {
                a: a as *const u16,
                row,
                pair,
                rows,
                b: self.b.wrapping_add(j * self.kp),
                panel: PANEL * self.kp,
                panels: columns.div_ceil(PANEL),
                steps: self.kp / STEP,
            };
            let (i, j) = (i0 + i, j0 + j);
            // SAFETY: the tile's rows and panels exist; its part of C belongs to this task, or it is the block.
            unsafe {
                if straight && columns.is_multiple_of(PANEL) {
                    let out = dots::Out {
                        c: self.c.wrapping_add((i * p.ldc + j) * p.width()),
                        ldc: p.ldc,
                        half: p.half,
                        bias: p.ep.bias.map(|b| b.as_ptr().wrapping_add(j)),
                        relu: p.ep.activation.is_some(),
                    };
                    dots::tile(&o, &out);
                } else {
                    let c = block.0.as_mut_ptr().cast();
                    dots::tile(&o, &dots::Out { c, ldc: BLOCK, half: false, bias: None, relu: false });
                    self.finish(&mut block, (i, j), rows, columns);
                }
            }
        }
    }

    /// By blocks of tiles of the processor.
    ///
    /// # Safety
    /// As for [`run`]; the level is [`Narrow::Amx`].
    unsafe fn blocks(&self) {
        let Rows::Apart(a, stride) = self.a else { unreachable!("tiles of the processor take rows") };
        let mut tiles = Tiles::new();
        let mut block = Block([0.0; BLOCK * BLOCK]);
        let (across, down) = (self.n.div_ceil(BLOCK), self.m.div_ceil(BLOCK));
        for at in 0..across * down {
            let (i, j) = order(at, (self.m, self.n), (down, across));
            let (i, j) = (i * BLOCK, j * BLOCK);
            let (rows, columns) = (BLOCK.min(self.m - i), BLOCK.min(self.n - j));
            let o = Operands {
                a: a.wrapping_add(i * stride),
                a_stride: 2 * stride,
                rows,
                b: self.b.wrapping_add(j * self.kp),
                panel: PANEL * self.kp,
                panels: columns.div_ceil(PANEL),
                steps: self.kp / STEP,
            };
            // SAFETY: the block's rows and panels exist; its part of C belongs to this task.
            unsafe {
                tiles.block(&o, &mut block);
                self.finish(&mut block, (self.at.0 + i, self.at.1 + j), rows, columns);
            }
        }
    }

    /// Takes the sums of a block to C.
    ///
    /// # Safety
    /// As for [`run`]; this part of C exists and belongs to this task.
    unsafe fn finish(&self, block: &mut Block, at: (usize, usize), rows: usize, columns: usize) {
        let p = self.p;
        let (bias, activation) = (p.ep.bias, p.ep.activation);
        let mut out = store::Out { c: self.c, ldc: p.ldc, half: p.half, at, rows, columns, bias, activation };
        // SAFETY: passed on.
        unsafe {
            if p.swapped {
                store::turn(block, rows);
                out.at = (at.1, at.0);
                (out.rows, out.columns) = (columns, rows);
            }
            store::store(block, &out);
        }
    }
}

/// Row and column of block `at` of `down` times `across`: the smaller operand passes by again and again, the larger one
/// once.
fn order(at: usize, (m, n): (usize, usize), (down, across): (usize, usize)) -> (usize, usize) {
    if m > n { (at / across, at % across) } else { (at % down, at / down) }
}
