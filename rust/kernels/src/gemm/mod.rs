//! Matrix products: C = A·B (+ C), with strides for every transpose, packed weights, epilogues and batches.
//!
//! One micro-kernel ([`micro`]) computes a small tile of C in registers; [`plan`] cuts C into tasks by shape alone;
//! a task packs a panel of B (and of A where its strides would thrash the cache) and walks its tiles. The order of
//! additions is a function of the shape, so results do not depend on the number of threads.

mod ahead;
mod dot;
mod int8;
pub(crate) mod micro;
mod narrow;
mod pack;
mod pieces;
mod plan;
mod row;
#[cfg(target_arch = "x86_64")]
mod split;

use std::ops::Range;

use crate::buffer::{AllocError, Buffer};
use crate::isa::{Isa, Kernel, Lanes, Level, Real, dispatch, level};
use crate::map::Unary;
use crate::par;

pub(crate) use ahead::{Part, ask};
pub use int8::{gemm_i8, gemm_i8_at};
pub use narrow::{Rounded, gemm_bf16, gemm_bf16_at};
pub use pack::PackedB;

/// A float type that products are offered for: f32 and f64.
#[allow(private_bounds)]
pub trait Scalar: Real + crate::map::Number {}
impl Scalar for f32 {}
impl Scalar for f64 {}

/// A matrix with a stride per axis, in elements; `data[0]` is element (0, 0).
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, T> {
    /// The elements.
    pub data: &'a [T],
    /// From one row to the next.
    pub rs: usize,
    /// From one column to the next.
    pub cs: usize,
}

impl<'a, T> Mat<'a, T> {
    /// A row-major matrix of `columns` columns.
    pub fn rows(data: &'a [T], columns: usize) -> Mat<'a, T> {
        Mat { data, rs: columns, cs: 1 }
    }

    /// The transpose, over the same elements.
    pub fn t(self) -> Mat<'a, T> {
        Mat { data: self.data, rs: self.cs, cs: self.rs }
    }

    fn check(&self, who: &str, rows: usize, columns: usize) {
        let last = rows.saturating_sub(1) * self.rs + columns.saturating_sub(1) * self.cs;
        assert!(
            rows == 0 || columns == 0 || last < self.data.len(),
            "gemm: {who} reaches element {last} of {}",
            self.data.len()
        );
    }
}

/// What happens to a finished element of C, in this order: plus the bias of its column, plus the residual, then the
/// activation; rounded to bfloat16 before the first and after each, if `rounded`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T> {
    /// One value per column.
    pub bias: Option<&'a [T]>,
    /// A matrix of C's shape and its row stride.
    pub residual: Option<(&'a [T], usize)>,
    /// An elementwise function.
    pub activation: Option<Unary>,
    /// Every step gives numbers that bfloat16 has.
    pub rounded: bool,
}

impl<T> Default for Epilogue<'_, T> {
    fn default() -> Self {
        Epilogue { bias: None, residual: None, activation: None, rounded: false }
    }
}

/// Where B comes from.
#[derive(Clone, Copy)]
pub(crate) enum Source<T> {
    /// Rows and columns at strides.
    Strided { ptr: *const T, rs: usize, cs: usize },
    /// Panels of `nr` columns, each `rows` rows of `nr` values, of which a product may use the first.
    Packed { ptr: *const T, nr: usize, rows: usize },
}

impl<T> From<(*const T, usize, usize)> for Source<T> {
    /// By address, stride of rows and stride of columns.
    fn from((ptr, rs, cs): (*const T, usize, usize)) -> Source<T> {
        Source::Strided { ptr, rs, cs }
    }
}

impl<T: Scalar> Source<T> {
    /// Elements that [`Source::packed`] needs for `k` rows and `n` columns.
    pub fn room(l: Level, [k, n]: [usize; 2]) -> usize {
        n.next_multiple_of(plan::tile_columns::<T>(l)) * k
    }

    /// `k` rows and `n` columns at strides, packed to `out` for several products.
    ///
    /// # Safety
    /// The elements exist, and `out` lives as long as what is returned.
    pub unsafe fn packed(
        l: Level,
        (b, rs, cs): (*const T, usize, usize),
        [k, n]: [usize; 2],
        out: &mut [T],
    ) -> Self {
        assert!(out.len() >= Source::<T>::room(l, [k, n]));
        let nr = plan::tile_columns::<T>(l);
        // SAFETY: the caller's promise; the room was checked.
        unsafe { pack::b_columns(l, b, (rs, cs), n, k, out.as_mut_ptr(), k * nr) };
        Source::Packed { ptr: out.as_ptr(), nr, rows: k }
    }
}

/// One product, as raw parts that were checked before.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a, T> {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a: *const T,
    pub a_rs: usize,
    pub a_cs: usize,
    /// All of A in tiles, if it was packed beforehand.
    pub a_tiles: Option<pack::Tiles<T>>,
    pub b: Source<T>,
    pub c: *mut T,
    pub ldc: usize,
    pub accumulate: bool,
    pub ep: Epilogue<'a, T>,
}

// SAFETY: tasks write disjoint tiles of C and only read the rest.
unsafe impl<T: Send> Send for Product<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Product<'_, T> {}

/// C[m, n] = A[m, k]·B[k, n], plus C if `accumulate`; C is row-major with `ldc` elements from row to row.
#[allow(private_bounds)]
pub fn gemm<T: Scalar>(
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    ep: Epilogue<'_, T>,
) {
    gemm_at(level(), m, n, k, a, b, c, ldc, accumulate, ep);
}

/// [`gemm`] at a given level.
#[allow(private_bounds)]
pub fn gemm_at<T: Scalar>(
    l: Level,
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    ep: Epilogue<'_, T>,
) {
    a.check("A", m, k);
    b.check("B", k, n);
    check_c(m, n, c.len(), ldc, &ep);
    let b = Source::Strided { ptr: b.data.as_ptr(), rs: b.rs, cs: b.cs };
    let p = Product {
        m,
        n,
        k,
        a: a.data.as_ptr(),
        a_rs: a.rs,
        a_cs: a.cs,
        a_tiles: None,
        b,
        c: c.as_mut_ptr(),
        ldc,
        accumulate,
        ep,
    };
    // SAFETY: all reaches were checked.
    unsafe { run(l, &p, &[[0, 0, 0]]) }
}

/// C = A·B with B packed ahead by [`PackedB::new`].
#[allow(private_bounds)]
pub fn gemm_packed<T: Scalar>(
    m: usize,
    a: Mat<'_, T>,
    b: &PackedB<T>,
    c: &mut [T],
    ldc: usize,
    accumulate: bool,
    ep: Epilogue<'_, T>,
) {
    let (n, k) = (b.n(), b.k());
    a.check("A", m, k);
    check_c(m, n, c.len(), ldc, &ep);
    let source = Source::Packed { ptr: b.as_ptr(), nr: b.nr(), rows: k };
    let p = Product {
        m,
        n,
        k,
        a: a.data.as_ptr(),
        a_rs: a.rs,
        a_cs: a.cs,
        a_tiles: None,
        b: source,
        c: c.as_mut_ptr(),
        ldc,
        accumulate,
        ep,
    };
    // SAFETY: all reaches were checked.
    unsafe { run(b.level(), &p, &[[0, 0, 0]]) }
}

/// Several products of one shape: for every `[a, b, c]` of `offsets` (in elements) C at c = A at a · B at b. The C
/// blocks must not overlap.
#[allow(private_bounds)]
pub fn gemm_batched<T: Scalar>(
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    c: &mut [T],
    ldc: usize,
    offsets: &[[usize; 3]],
    ep: Epilogue<'_, T>,
) {
    check_batch("gemm_batched", [m, n, k], a, b, c.len(), ldc, offsets, &ep);
    let source = Source::Strided { ptr: b.data.as_ptr(), rs: b.rs, cs: b.cs };
    let p = Product {
        m,
        n,
        k,
        a: a.data.as_ptr(),
        a_rs: a.rs,
        a_cs: a.cs,
        a_tiles: None,
        b: source,
        c: c.as_mut_ptr(),
        ldc,
        accumulate: false,
        ep,
    };
    // SAFETY: all reaches were checked for every offset, and the results are disjoint.
    unsafe { run(level(), &p, offsets) }
}

/// Length of the sum that a tile of [`alone`] adds up in registers, at most: a panel of B stays in the first-level cache.
const ALONE: usize = 256;

/// C[m, n] = A[m, k]·B (plus C) by the calling thread, with B as [`Source::packed`] packed it, each panel of `b_rows` rows:
/// for kernels that walk over blocks of their own, which need neither a plan nor room.
///
/// # Safety
/// The elements exist, and nobody else touches those of C.
#[inline(always)]
pub(crate) unsafe fn alone<T: Scalar, S: Isa>(
    [m, n, k]: [usize; 3],
    (a, a_rs, a_cs): (*const T, usize, usize),
    (b, b_rows): (*const T, usize),
    c: *mut T,
    ldc: usize,
    accumulate: bool,
) {
    let nr = 2 * <T::V<S> as Lanes>::N;
    // Tiles share the rows evenly, large ones first.
    let count = m.div_ceil(micro::tile_rows::<T, S>());
    let (small, larger) = (m / count, m % count);
    // SAFETY: the caller's promise.
    unsafe {
        for k0 in (0..k.max(1)).step_by(ALONE) {
            let length = ALONE.min(k - k0);
            for j in (0..n).step_by(nr) {
                let panel = micro::Panel { k: length, a_rs, a_cs, b: b.add(j * b_rows + k0 * nr), b_rs: nr };
                let (mut a, mut row) = (a.add(k0 * a_cs), 0);
                for tile in 0..count {
                    let rows = small + usize::from(tile < larger);
                    let add = accumulate || k0 > 0;
                    let ep = &Epilogue::default();
                    let out = micro::Out::part((c, ldc), (row, j), nr.min(n - j), add, ep, false);
                    micro::tile::<T, S>(rows, &panel, a, ahead::Line::nothing(a), &out);
                    a = a.wrapping_add(rows * a_rs);
                    row += rows;
                }
            }
        }
    }
}

/// C[m, n] = A[m, k]·B[k, n] (plus C), of matrices by address, stride of rows and stride of columns: for kernels whose
/// matrices lie between each other. B may be packed.
///
/// # Safety
/// The elements exist, and nobody else touches those of C.
pub(crate) unsafe fn raw<T: Scalar>(
    l: Level,
    [m, n, k]: [usize; 3],
    (a, a_rs, a_cs): (*const T, usize, usize),
    b: impl Into<Source<T>>,
    c: *mut T,
    ldc: usize,
    accumulate: bool,
) {
    let (b, ep) = (b.into(), Epilogue::default());
    let p = Product { m, n, k, a, a_rs, a_cs, a_tiles: None, b, c, ldc, accumulate, ep };
    // SAFETY: the caller's promise.
    unsafe { run(l, &p, &[[0, 0, 0]]) }
}

fn check_c<T>(m: usize, n: usize, len: usize, ldc: usize, ep: &Epilogue<'_, T>) {
    assert!(
        m == 0 || n == 0 || (ldc >= n && (m - 1) * ldc + n <= len),
        "gemm: C of {m}x{n} leaves its {len} elements"
    );
    assert!(ep.bias.is_none_or(|b| b.len() >= n), "gemm: the bias is shorter than {n} columns");
    assert!(
        ep.residual.is_none_or(|(r, ld)| m == 0 || (m - 1) * ld + n <= r.len()),
        "gemm: the residual is smaller than C"
    );
}

/// Panics unless the matrices of every `[a, b, c]` of `offsets` exist and those of C are disjoint.
fn check_batch<T, E>(
    who: &str,
    [m, n, k]: [usize; 3],
    a: Mat<'_, T>,
    b: Mat<'_, T>,
    c_len: usize,
    ldc: usize,
    offsets: &[[usize; 3]],
    ep: &Epilogue<'_, E>,
) {
    let mut ends: Vec<usize> = Vec::with_capacity(offsets.len());
    for &[oa, ob, oc] in offsets {
        Mat { data: &a.data[oa.min(a.data.len())..], ..a }.check("A", m, k);
        Mat { data: &b.data[ob.min(b.data.len())..], ..b }.check("B", k, n);
        check_c(m, n, c_len.saturating_sub(oc), ldc, ep);
        ends.push(oc);
    }
    ends.sort_unstable();
    let size = if m == 0 || n == 0 { 0 } else { (m - 1) * ldc + n };
    assert!(ends.windows(2).all(|w| w[1] - w[0] >= size), "{who}: the results overlap");
}

/// Runs the product once per offset triple.
///
/// # Safety
/// Every element that the product names exists, for every offset; results are disjoint.
unsafe fn run<T: Scalar>(l: Level, p: &Product<'_, T>, offsets: &[[usize; 3]]) {
    if p.m == 0 || p.n == 0 || offsets.is_empty() {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: passed on.
    if unsafe { split::run(l, p, offsets) } {
        return;
    }
    let plan = plan::Plan::new::<T>(l, p, offsets.len());
    let splits = plan.k_chunks;
    if splits == 1 {
        // SAFETY: passed on. Without memory for copies the tasks read A and B where they lie.
        let shared = unsafe { share(l, p, &plan) }.unwrap_or_default();
        let p = shared.apply(*p);
        par::run(plan.tasks() * offsets.len(), |i| {
            let [oa, ob, oc] = offsets[i / plan.tasks()];
            // SAFETY: tasks are disjoint tiles of disjoint results.
            unsafe { task(l, &p.at(oa, ob, oc), &plan, i % plan.tasks()) };
        });
        return;
    }
    // Few tiles and a long sum: pieces of the sum go to buffers of their own, then are added in order.
    let size = p.m * p.n;
    let Ok(mut partial) = Buffer::scratch(splits * size * size_of::<T>()) else {
        let whole = plan.whole();
        for &[oa, ob, oc] in offsets {
            // SAFETY: as above.
            unsafe { task(l, &p.at(oa, ob, oc), &whole, 0) };
        }
        return;
    };
    let base = partial.bytes_mut().as_mut_ptr().cast::<T>() as usize;
    for &[oa, ob, oc] in offsets {
        // SAFETY: the offsets were checked.
        let p = unsafe { p.at(oa, ob, oc) };
        par::run(splits, |s| {
            let (k0, k1) = plan.k_range(p.k, s);
            let ptr = base as *mut T;
            // SAFETY: chunk s owns its part of the buffer; k0..k1 lies inside K.
            unsafe {
                let part = Product {
                    c: ptr.add(s * size),
                    ldc: p.n,
                    accumulate: false,
                    ep: Epilogue::default(),
                    ..p.k_slice(k0, k1)
                };
                task(l, &part, &plan.whole(), 0);
            }
        });
        // SAFETY: every part was written above; C is where the offsets say.
        unsafe { pieces::add(l, &p, base as *const T, splits) };
    }
}

/// One number, rounded to bfloat16 if asked for.
#[inline(always)]
pub(crate) fn round_if<T: Real>(rounded: bool, x: T) -> T {
    if rounded { x.round_bfloat16_one() } else { x }
}

/// The activation of a row.
fn activate<T: Scalar>(ep: &Epilogue<'_, T>, row: &mut [T]) {
    if let Some(f) = ep.activation {
        crate::map::unary_in_place(f, row);
        if ep.rounded && f != Unary::Relu {
            crate::map::unary_in_place(Unary::Bfloat16, row);
        }
    }
}

/// What was packed once for all tasks of a product.
struct SharedPanels<T> {
    a: Option<(Buffer, pack::Tiles<T>)>,
    b: Option<(Buffer, usize)>,
}

impl<T> Default for SharedPanels<T> {
    fn default() -> Self {
        SharedPanels { a: None, b: None }
    }
}

impl<T: Scalar> SharedPanels<T> {
    /// The product, reading from here.
    fn apply<'a>(&self, p: Product<'a, T>) -> Product<'a, T> {
        let b = match &self.b {
            Some((buffer, nr)) => Source::Packed { ptr: buffer.bytes().as_ptr().cast(), nr: *nr, rows: p.k },
            None => p.b,
        };
        Product { a_tiles: self.a.as_ref().map(|(_, tiles)| *tiles), b, ..p }
    }
}

/// Packs A and B for all tasks of a product, as far as the plan says.
///
/// # Safety
/// The elements of the product exist.
unsafe fn share<T: Scalar>(
    l: Level,
    p: &Product<'_, T>,
    plan: &plan::Plan,
) -> Result<SharedPanels<T>, AllocError> {
    /// Elements per piece of work.
    const GRAIN: usize = 1 << 14;
    /// Rows of A or columns of B per piece of work: where they are contiguous, as much is read at a time.
    const WIDE: usize = 256;
    if !plan.share_a && !plan.share_b {
        return Ok(SharedPanels::default());
    }
    let (mr, nr, kc) = (plan.tile, plan::tile_columns::<T>(l), plan.kc);
    let (tiles, panels) = (p.m.div_ceil(mr), p.n.div_ceil(nr));
    let buffer = |wanted: bool, len: usize| Buffer::scratch(if wanted { len * size_of::<T>() } else { 0 });
    let mut a_buffer = buffer(plan.share_a, pack::Tiles::<T>::len(p.m, p.k, mr, kc))?;
    let mut b_buffer = buffer(plan.share_b, Source::<T>::room(l, [p.k, p.n]))?;
    let (a_at, b_at) =
        (a_buffer.bytes_mut().as_mut_ptr() as usize, b_buffer.bytes_mut().as_mut_ptr() as usize);
    // A piece is some tiles of one block of the sum, or some panels over a part of the sum.
    let tall = (if p.a_cs == 1 { GRAIN / kc } else { WIDE } / mr).max(1) * mr;
    let (a_cuts, a_blocks) = (p.m.div_ceil(tall), p.k.div_ceil(kc));
    let long = GRAIN / WIDE.min(panels * nr);
    let (b_cuts, b_blocks) = (p.n.div_ceil(WIDE), p.k.div_ceil(long));
    let a_pieces = if plan.share_a { a_cuts * a_blocks } else { 0 };
    let b_pieces = if plan.share_b { b_cuts * b_blocks } else { 0 };
    let product = *p;
    par::run(a_pieces + b_pieces, |piece| {
        // The whole product, not its pointers one by one, so that it may cross to another thread.
        let p = &product;
        if piece >= a_pieces {
            let piece = piece - a_pieces;
            let (from, k0) = (piece / b_blocks * WIDE, piece % b_blocks * long);
            let (to, k1) = ((from + WIDE).min(p.n), (k0 + long).min(p.k));
            if let Source::Strided { ptr, rs, cs } = p.b {
                // SAFETY: the columns exist; this part of their panels belongs to this piece alone.
                unsafe {
                    let out = (b_at as *mut T).add(from * p.k + k0 * nr);
                    let b = ptr.add(from * cs + k0 * rs);
                    pack::b_columns(l, b, (rs, cs), to - from, k1 - k0, out, p.k * nr);
                }
            }
            return;
        }
        let (from, block) = (piece / a_blocks * tall, piece % a_blocks);
        let (to, k0) = ((from + tall).min(p.m), block * kc);
        // SAFETY: the rows exist; their tiles' place in the buffer belongs to this piece alone.
        unsafe {
            let out = (a_at as *mut T).add((block * tiles + from / mr) * mr * kc);
            let a = p.a.add(from * p.a_rs + k0 * p.a_cs);
            pack::a_rows(l, a, (p.a_rs, p.a_cs), to - from, kc.min(p.k - k0), mr, out, mr * kc);
        }
    });
    let tiles = pack::Tiles { ptr: a_at as *const T, mr, kc, count: tiles };
    Ok(SharedPanels {
        a: plan.share_a.then_some((a_buffer, tiles)),
        b: plan.share_b.then_some((b_buffer, nr)),
    })
}

impl<'a, T: Scalar> Product<'a, T> {
    /// The product with its matrices shifted.
    unsafe fn at(&self, oa: usize, ob: usize, oc: usize) -> Product<'a, T> {
        // SAFETY: the caller checked the offsets.
        unsafe {
            let b = match self.b {
                Source::Strided { ptr, rs, cs } => Source::Strided { ptr: ptr.add(ob), rs, cs },
                packed => packed,
            };
            Product { a: self.a.add(oa), b, c: self.c.add(oc), ..*self }
        }
    }

    /// The part of the sum over `k0..k1`.
    unsafe fn k_slice(&self, k0: usize, k1: usize) -> Product<'a, T> {
        // SAFETY: k0 < k1 <= k.
        unsafe {
            let b = match self.b {
                Source::Strided { ptr, rs, cs } => Source::Strided { ptr: ptr.add(k0 * rs), rs, cs },
                packed => packed,
            };
            Product { k: k1 - k0, a: self.a.add(k0 * self.a_cs), b, ..*self }
        }
    }
}

/// Computes one task of the plan.
unsafe fn task<T: Scalar>(l: Level, p: &Product<'_, T>, plan: &plan::Plan, index: usize) {
    let (rows, columns) = plan.range(p, index);
    struct Run<'a, T> {
        p: &'a Product<'a, T>,
        plan: &'a plan::Plan,
        rows: (usize, usize),
        columns: (usize, usize),
    }
    impl<T: Scalar> Kernel for Run<'_, T> {
        type Out = Result<(), AllocError>;
        #[inline(always)]
        fn run<S: Isa>(self) -> Self::Out {
            // SAFETY: passed on from `task`.
            unsafe { tiles::<T, S>(self.p, self.plan, self.rows, self.columns) }
        }
    }
    if plan.row {
        // SAFETY: passed on.
        unsafe { row::run(l, p, columns) };
    } else if plan.dot {
        // SAFETY: passed on.
        unsafe { dot::run(l, p, rows, columns) };
    } else if dispatch(l, Run { p, plan, rows, columns }).is_err() {
        // Not even a panel's worth of memory: take the path that needs none.
        // SAFETY: passed on.
        unsafe { dot::run(l, p, rows, columns) };
    }
    // SAFETY: this task's part of C.
    unsafe { activate_part(&p.ep, (p.c, p.ldc), rows.0..rows.1, columns.0..columns.1) };
}

/// Applies the activation to a part of C, unless the tiles did it.
///
/// # Safety
/// The part exists and belongs to the caller alone.
unsafe fn activate_part<T: Scalar>(
    ep: &Epilogue<'_, T>,
    (c, ldc): (*mut T, usize),
    rows: Range<usize>,
    columns: Range<usize>,
) {
    if ep.activation.is_none_or(|f| f == Unary::Relu) {
        return;
    }
    for i in rows {
        // SAFETY: the caller's promise.
        let row = unsafe { std::slice::from_raw_parts_mut(c.add(i * ldc + columns.start), columns.len()) };
        activate(ep, row);
    }
}

/// Walks the tiles of a task: blocks of K, panels of B, tiles of rows.
#[inline(always)]
unsafe fn tiles<T: Scalar, S: Isa>(
    p: &Product<'_, T>,
    plan: &plan::Plan,
    (m0, m1): (usize, usize),
    (n0, n1): (usize, usize),
) -> Result<(), AllocError> {
    let nr = 2 * <T::V<S> as Lanes>::N;
    let kc = plan.kc.min(p.k.max(1));
    let fixed = p.a_tiles.is_some() || plan.pack_a;
    let mr = if fixed { plan.tile } else { micro::tile_rows::<T, S>() };
    let own_b = plan.pack_b && matches!(p.b, Source::Strided { .. });
    // Whole panels whose rows are contiguous need no room, nor do packed ones.
    let in_place = match p.b {
        Source::Packed { .. } => true,
        Source::Strided { cs, .. } => !own_b && cs == 1 && (n1 - n0).is_multiple_of(nr),
    };
    let b_columns = if own_b { (n1 - n0).next_multiple_of(nr) } else { nr * usize::from(!in_place) };
    let mut b_block = Buffer::scratch(kc * b_columns * size_of::<T>())?;
    let b_block = b_block.bytes_mut().as_mut_ptr().cast::<T>();
    let a_tiles = (m1 - m0).div_ceil(mr);
    let mut a_block = Buffer::scratch(if plan.pack_a { a_tiles * mr * kc * size_of::<T>() } else { 0 })?;
    let a_block = a_block.bytes_mut().as_mut_ptr().cast::<T>();
    // Where B fits into the second-level cache, rows of A that are read where they lie pass by it once.
    let streamed = plan.stream > 0 && !fixed && (own_b || in_place);
    let block = if streamed { plan.stream * mr } else { plan.block };
    // From one packed tile to the next.
    let tile_length = mr * p.a_tiles.map_or(kc, |tiles| tiles.kc);
    let mut k0 = 0;
    loop {
        let k1 = (k0 + kc).min(p.k);
        let (first, last) = (k0 == 0, k1 == p.k);
        // SAFETY: the caller's promise covers every element that is named below.
        unsafe {
            if plan.pack_a {
                let a = p.a.add(m0 * p.a_rs + k0 * p.a_cs);
                pack::a_block::<T, S>(a, p.a_rs, p.a_cs, m1 - m0, k1 - k0, mr, a_block, mr * kc);
            }
            if let (Source::Strided { ptr, rs, cs }, true) = (p.b, own_b) {
                let b = ptr.add(k0 * rs + n0 * cs);
                pack::b_block::<T, S>(b, rs, cs, n1 - n0, k1 - k0, nr, b_block, (k1 - k0) * nr);
            }
            let next = (k1, (k1 + kc).min(p.k));
            let mut ahead = ahead::Ahead::new([
                match p.b {
                    Source::Strided { ptr, rs, cs } if own_b && !last => {
                        ahead::Part::of(ptr.add(next.0 * rs + n0 * cs), (next.1 - next.0, n1 - n0), (rs, cs))
                    }
                    _ => None,
                },
                if plan.pack_a && !last {
                    ahead::Part::of(
                        p.a.add(m0 * p.a_rs + next.0 * p.a_cs),
                        (m1 - m0, next.1 - next.0),
                        (p.a_rs, p.a_cs),
                    )
                } else {
                    None
                },
            ]);
            let (mut j, mut from, mut to) = (n0, m0, m1.min(m0.saturating_add(block)));
            while from < m1 {
                let width = nr.min(n1 - j);
                let (b, b_rs) = match p.b {
                    Source::Packed { ptr, nr, rows } => (ptr.add(j / nr * nr * rows + k0 * nr), nr),
                    Source::Strided { .. } if own_b => (b_block.add((j - n0) * (k1 - k0)).cast_const(), nr),
                    Source::Strided { ptr, rs, cs: 1 } if width == nr => (ptr.add(k0 * rs + j), rs),
                    Source::Strided { ptr, rs, cs } => {
                        pack::b_panel::<T, S>(ptr.add(k0 * rs + j * cs), rs, cs, width, k1 - k0, nr, b_block);
                        (b_block.cast_const(), nr)
                    }
                };
                let (mut a, a_rs, a_cs) = if let Some(tiles) = p.a_tiles {
                    (tiles.at(from, k0), 1, mr)
                } else if plan.pack_a {
                    (a_block.add((from - m0) / mr * mr * kc).cast_const(), 1, mr)
                } else {
                    (p.a.add(from * p.a_rs + k0 * p.a_cs), p.a_rs, p.a_cs)
                };
                let panel = micro::Panel { k: k1 - k0, a_rs, a_cs, b, b_rs };
                let add = p.accumulate || !first;
                let mut out = micro::Out::part((p.c, p.ldc), (from, j), width, add, &p.ep, last);
                // Where tiles need not start at multiples of `mr`, they share the rows evenly, large ones first: a tile
                // of two rows takes nearly as long as one of six.
                let count = (to - from).div_ceil(mr);
                let (small, larger) = ((to - from) / count, (to - from) % count);
                for tile in 0..count {
                    let rows = match fixed {
                        true if tile + 1 == count => to - from - tile * mr,
                        true => mr,
                        false => small + usize::from(tile < larger),
                    };
                    if streamed {
                        let stride = p.a_rs * size_of::<T>();
                        let next = ahead::Part {
                            at: p.a.wrapping_add(to * p.a_rs).cast(),
                            stride,
                            rows: block.min(m1 - to),
                            width: p.k * size_of::<T>(),
                        };
                        let number = (j - n0) / nr * plan.stream + tile;
                        ahead::ask(&next, number, plan.panels * plan.stream);
                    }
                    micro::tile::<T, S>(rows, &panel, a, ahead.next((k1 - k0) / 4, a), &out);
                    a = a.wrapping_add(if fixed { tile_length } else { rows * a_rs });
                    out.c = out.c.wrapping_add(rows * out.ldc);
                    out.residual = out.residual.map(|(r, ld)| (r.wrapping_add(rows * ld), ld));
                }
                j += width;
                if j >= n1 {
                    (j, from, to) = (n0, to, m1.min(to.saturating_add(block)));
                }
            }
        }
        k0 = k1;
        if k0 >= p.k {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
