//! Loops over the registers of a tile, written out.

/// The body once per `$i` below `$count` (a constant of at most 14), as straight code.
///
/// An array of sums lives in registers only where every index into it is a constant. The compiler unrolls loops up to a
/// certain size and leaves larger ones alone: with 22 vectors and more, one loop that writes them to C would put the
/// array into memory, and there would be a fill with zeros, a copy and a second one for each tile.
macro_rules! each {
    ($i:ident < $count:expr, $body:block) => {
        const { assert!($count <= 14, "each! has no body for further rows") };
        $crate::unroll::each!(@ $i, $count, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13);
    };
    (@ $i:ident, $count:expr, $body:block, $($at:literal)*) => {
        $(if const { $at < $count } {
            let $i: usize = $at;
            $body
        })*
    };
}
pub(crate) use each;
