//! Tasks: each packs what it alone needs, multiplies its units, and writes its part of C.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::pack::{self, Lines, Operand, STEP, UNIT};
use super::plan::Plan;
use super::tiles;
use crate::buffer::{AllocError, Buffer};
use crate::gemm::micro::{self, Out};
use crate::gemm::narrow::tiles::{Block, Tiles};
use crate::gemm::plan::place;
use crate::gemm::{Epilogue, Product, Source, activate_part, pieces};
use crate::isa::{Isa, Kernel, Lanes, Level, dispatch};
use crate::map::Unary;
use crate::par;

/// Units per piece of shared packing.
const WIDE: usize = 4;

thread_local! {
    /// Where this thread packs: memory that stays in its core's cache from task to task.
    static ROOM: Cell<Option<Buffer>> = const { Cell::new(None) };
}

/// Runs `work` with `bytes` of this thread's own memory.
fn with_room<R>(bytes: usize, work: impl FnOnce(*mut u8) -> R) -> Result<R, AllocError> {
    let mut room = match ROOM.take() {
        Some(room) if room.bytes().len() >= bytes => room,
        _ => Buffer::scratch(bytes)?,
    };
    let result = work(room.bytes_mut().as_mut_ptr());
    ROOM.set(Some(room));
    Ok(result)
}

/// One of the two operands, in parts, for all tasks.
struct Packed {
    buffer: Option<Buffer>,
    units: usize,
    /// A number without parts was met.
    special: AtomicBool,
}

/// The operands of a product, and what was packed beforehand.
struct Job<'a> {
    p: Product<'a, f32>,
    plan: Plan,
    a: Operand,
    b: Operand,
    shared_a: Packed,
    shared_b: Packed,
}

// SAFETY: tasks write disjoint parts of C (or of copies of it) and only read the rest.
unsafe impl Sync for Job<'_> {}

/// Runs the product for every offset. Nothing was written if it fails.
///
/// # Safety
/// As for [`crate::gemm::run`]; the machine has tiles, and B is not packed.
pub(super) unsafe fn run(p: &Product<'_, f32>, offsets: &[[usize; 3]]) -> Result<(), AllocError> {
    let Source::Strided { ptr, rs, cs } = p.b else { unreachable!("B is not packed") };
    let plan = Plan::new(p.m, p.n, p.k, offsets.len());
    let size = p.m * p.n;
    let copies = if plan.pieces > 1 { plan.pieces * size * offsets.len() } else { 0 };
    let mut partial = Buffer::scratch(copies * size_of::<f32>())?;
    let partial = partial.bytes_mut().as_mut_ptr() as usize;
    let single = offsets.len() == 1;
    let room = |wanted: bool, outer: usize| -> Result<Packed, AllocError> {
        let units = outer.div_ceil(UNIT);
        let bytes = units * plan.unit_bytes() * plan.blocks(p.k);
        let buffer = if wanted { Some(Buffer::scratch(bytes)?) } else { None };
        Ok(Packed { buffer, units, special: AtomicBool::new(false) })
    };
    let mut job = Job {
        p: *p,
        a: Operand { at: p.a, outer: p.a_rs, along: p.a_cs },
        b: Operand { at: ptr, outer: cs, along: rs },
        shared_a: room(single && plan.shared().0, p.m)?,
        shared_b: room(single && plan.shared().1, p.n)?,
        plan,
    };
    // SAFETY: the caller's promise.
    unsafe { job.share(offsets[0]) };
    let (job, plan) = (&job, &job.plan);
    let tasks = plan.m_tasks * plan.n_tasks;
    par::run(tasks * plan.pieces * offsets.len(), |index| {
        let (which, index) = (index / (tasks * plan.pieces), index % (tasks * plan.pieces));
        let (piece, index) = (index / tasks, index % tasks);
        let (i, j) = place(index, [plan.m_tasks, plan.n_tasks], [p.m, p.n]);
        // SAFETY: the caller's promise; a piece of the sum has a copy of C of its own.
        unsafe {
            let mut task = Task {
                job,
                offset: offsets[which],
                rows: Plan::part(i, plan.m_tasks, p.m),
                columns: Plan::part(j, plan.n_tasks, p.n),
                c: p.c.add(offsets[which][2]),
                ldc: p.ldc,
                accumulate: p.accumulate,
                ep: p.ep,
            };
            if plan.pieces > 1 {
                let copy = which * plan.pieces + piece;
                task.c = (partial as *mut f32).add(copy * size);
                (task.ldc, task.accumulate, task.ep) = (p.n, false, Epilogue::default());
            }
            let blocks = plan.piece(p.k, piece);
            if with_room(task.room(), |room| task.run(blocks.clone(), room)).is_err() {
                // Not even memory for packing: this way needs none.
                task.multiply_adds(blocks);
            }
            activate_part(&task.ep, (task.c, task.ldc), task.rows, task.columns);
        }
    });
    if plan.pieces > 1 {
        for (which, &[_, _, oc]) in offsets.iter().enumerate() {
            // SAFETY: every copy was written; C is where the offsets say.
            unsafe {
                let p = Product { c: p.c.add(oc), ..*p };
                let copies = (partial as *const f32).add(which * plan.pieces * size);
                pieces::add(Level::Avx512, &p, copies, plan.pieces);
            }
        }
    }
    Ok(())
}

impl Job<'_> {
    /// The numbers of a block of the sum.
    fn numbers(&self, block: usize) -> Range<usize> {
        block * self.plan.block..((block + 1) * self.plan.block).min(self.p.k)
    }

    /// Packs what several tasks read.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn share(&mut self, [oa, ob, _]: [usize; 3]) {
        let blocks = self.plan.blocks(self.p.k);
        let address =
            |x: &mut Packed| x.buffer.as_mut().map_or(0, |buffer| buffer.bytes_mut().as_mut_ptr() as usize);
        let (to_a, to_b) = (address(&mut self.shared_a), address(&mut self.shared_b));
        let pieces = |to: usize, x: &Packed| if to == 0 { 0 } else { x.units.div_ceil(WIDE) * blocks };
        let (a_pieces, b_pieces) = (pieces(to_a, &self.shared_a), pieces(to_b, &self.shared_b));
        let job = &*self;
        par::run(a_pieces + b_pieces, |piece| {
            let (piece, x, shared, outer, to, lines) = if piece < a_pieces {
                (piece, job.a.moved(oa), &job.shared_a, job.p.m, to_a, Lines::Outer)
            } else {
                (piece - a_pieces, job.b.moved(ob), &job.shared_b, job.p.n, to_b, Lines::Pairs)
            };
            let (unit, block) = (piece / blocks * WIDE, piece % blocks);
            let (from, numbers) = (unit * UNIT, job.numbers(block));
            let count = (outer - from).min(WIDE * UNIT);
            let bytes = job.plan.unit_bytes();
            let out = (to as *mut u8).wrapping_add((block * shared.units + unit) * bytes);
            // SAFETY: the elements exist; these units belong to this piece of work alone.
            let whole = unsafe {
                pack::pack(x.shifted(from, numbers.start), count, numbers.len(), lines, out, bytes)
            };
            if !whole {
                shared.special.store(true, Ordering::Relaxed);
            }
        });
    }
}

/// Some rows and columns of C.
struct Task<'a> {
    job: &'a Job<'a>,
    offset: [usize; 3],
    rows: Range<usize>,
    columns: Range<usize>,
    c: *mut f32,
    ldc: usize,
    accumulate: bool,
    ep: Epilogue<'a, f32>,
}

impl Task<'_> {
    /// Bytes of units that this task packs for itself, of A and of B.
    fn own(&self) -> (usize, usize) {
        let bytes = |shared: &Packed, outer: usize| {
            if shared.buffer.is_some() { 0 } else { outer.div_ceil(UNIT) * self.job.plan.unit_bytes() }
        };
        (bytes(&self.job.shared_a, self.rows.len()), bytes(&self.job.shared_b, self.columns.len()))
    }

    fn room(&self) -> usize {
        let (a, b) = self.own();
        a + b
    }

    /// The units of one operand over a block, and whether all its numbers have parts.
    ///
    /// # Safety
    /// As for [`run`]; there is room for the units that are packed here.
    unsafe fn units(&self, lines: Lines, block: usize, room: *mut u8) -> (*const u8, bool) {
        let job = self.job;
        let (x, shared, range, offset) = match lines {
            Lines::Outer => (job.a, &job.shared_a, &self.rows, self.offset[0]),
            Lines::Pairs => (job.b, &job.shared_b, &self.columns, self.offset[1]),
        };
        let bytes = job.plan.unit_bytes();
        if let Some(buffer) = &shared.buffer {
            let unit = block * shared.units + range.start / UNIT;
            let at = buffer.bytes().as_ptr().wrapping_add(unit * bytes);
            return (at, !shared.special.load(Ordering::Relaxed));
        }
        let numbers = job.numbers(block);
        let x = x.moved(offset).shifted(range.start, numbers.start);
        // SAFETY: the caller's promise.
        let whole = unsafe { pack::pack(x, range.len(), numbers.len(), lines, room, bytes) };
        (room.cast_const(), whole)
    }

    /// Multiplies over some blocks of the sum.
    ///
    /// # Safety
    /// As for [`run`]; there is room for what this task packs.
    unsafe fn run(&self, blocks: Range<usize>, room: *mut u8) {
        let bytes = self.job.plan.unit_bytes();
        let mut block_of_c = Block([0.0; UNIT * UNIT]);
        let (down, across) = (self.rows.len().div_ceil(UNIT), self.columns.len().div_ceil(UNIT));
        for block in blocks.clone() {
            // SAFETY: the caller's promise.
            let ((a, a_whole), (b, b_whole)) = unsafe {
                let own_a = self.own().0;
                (self.units(Lines::Outer, block, room), self.units(Lines::Pairs, block, room.add(own_a)))
            };
            if !(a_whole && b_whole) {
                // SAFETY: as above.
                unsafe { self.block_of_multiply_adds(block, &blocks) };
                continue;
            }
            let steps = self.job.numbers(block).len().div_ceil(STEP);
            // Released at the end of the block, since other work has no use for them.
            let mut tiles = Tiles::new();
            for at in 0..down * across {
                // The smaller operand passes by again and again, the larger one once.
                let (i, j) = if down > across { (at / across, at % across) } else { (at % down, at / down) };
                // SAFETY: the units exist, and so does this part of C.
                unsafe {
                    let out = self.out(i * UNIT, j * UNIT, block, &blocks);
                    let rows = UNIT.min(self.rows.len() - i * UNIT);
                    let (a, b) = (a.wrapping_add(i * bytes), b.wrapping_add(j * bytes));
                    tiles::block(&mut tiles, (a, b), steps, (out.c, out.ldc), &mut block_of_c);
                    dispatch(Level::Avx512, Finish { block: &block_of_c, rows, out });
                }
            }
        }
    }

    /// Where the part of C at a row and column of this task goes after a block of the sum.
    ///
    /// # Safety
    /// It exists.
    unsafe fn out(&self, row: usize, column: usize, block: usize, blocks: &Range<usize>) -> Out<f32> {
        let at = (self.rows.start + row, self.columns.start + column);
        let (first, last) = (block == blocks.start, block + 1 == blocks.end);
        let width = UNIT.min(self.columns.len() - column);
        // SAFETY: the caller's promise.
        unsafe { Out::part((self.c, self.ldc), at, width, self.accumulate || !first, &self.ep, last) }
    }

    /// A block of the sum by multiply-adds of vectors, which know infinities and NaN.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn block_of_multiply_adds(&self, block: usize, blocks: &Range<usize>) {
        let (i, j, numbers) = (self.rows.start, self.columns.start, self.job.numbers(block));
        let (first, last) = (block == blocks.start, block + 1 == blocks.end);
        let relu = self.ep.activation.filter(|&f| f == Unary::Relu);
        let ep = Epilogue {
            bias: self.ep.bias.map(|b| &b[j..]),
            residual: self.ep.residual.map(|(r, ld)| (&r[i * ld + j..], ld)),
            activation: relu,
            ..self.ep
        };
        let p = &self.job.p;
        // SAFETY: the caller's promise.
        unsafe {
            let part = Product {
                m: self.rows.len(),
                n: self.columns.len(),
                c: self.c.add(i * self.ldc + j),
                ldc: self.ldc,
                accumulate: self.accumulate || !first,
                ep: if last { ep } else { Epilogue::default() },
                ..p.at(self.offset[0] + i * p.a_rs, self.offset[1], 0).k_slice(numbers.start, numbers.end)
            };
            let b = match part.b {
                Source::Strided { ptr, rs, cs } => Source::Strided { ptr: ptr.add(j * cs), rs, cs },
                packed @ Source::Packed { .. } => packed,
            };
            let part = Product { b, ..part };
            let plan = crate::gemm::plan::Plan::new::<f32>(Level::Avx512, &part, 1).whole();
            crate::gemm::task(Level::Avx512, &part, &plan, 0);
        }
    }

    /// All blocks that way: it needs little memory.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn multiply_adds(&self, blocks: Range<usize>) {
        for block in blocks.clone() {
            // SAFETY: the caller's promise.
            unsafe { self.block_of_multiply_adds(block, &blocks) };
        }
    }
}

/// Writes a block to C.
struct Finish<'a> {
    block: &'a Block,
    rows: usize,
    out: Out<f32>,
}

impl Kernel for Finish<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Finish { block, rows, out } = self;
        let wide = 2 * <S::F32 as Lanes>::N;
        let mut i = 0;
        // SAFETY: whoever made `out` promised that its rows and columns exist.
        unsafe {
            while i < rows {
                let tall = if rows - i >= 4 { 4 } else { 1 };
                for j in (0..out.width).step_by(wide) {
                    let line = |r: usize| block.0.as_ptr().add((i + r) * UNIT + j);
                    let part = Out {
                        c: out.c.add(i * out.ldc + j),
                        width: wide.min(out.width - j),
                        bias: out.bias.map(|b| b.add(j)),
                        residual: out.residual.map(|(r, ld)| (r.add(i * ld + j), ld)),
                        ..out
                    };
                    if tall == 4 {
                        let lines =
                            [pair::<S>(line(0)), pair::<S>(line(1)), pair::<S>(line(2)), pair::<S>(line(3))];
                        micro::store::<S::F32, 4, 2>(&lines, &part);
                    } else {
                        micro::store::<S::F32, 1, 2>(&[pair::<S>(line(0))], &part);
                    }
                }
                i += tall;
            }
        }
    }
}

/// Two vectors.
///
/// # Safety
/// They exist.
#[inline(always)]
unsafe fn pair<S: Isa>(at: *const f32) -> [S::F32; 2] {
    // SAFETY: the caller's promise.
    unsafe { [S::F32::load(at), S::F32::load(at.add(<S::F32 as Lanes>::N))] }
}
