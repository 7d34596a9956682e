//! Tensors: strided views into shared storage.

use std::sync::atomic::{AtomicU64, Ordering};

use ndarray::{ArrayD, ArrayViewD, IxDyn, ShapeBuilder};

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::shape::{Shape, Spec};
use crate::storage::Storage;
pub(crate) use rkeras_kernels::flush::FlushDenormals;

/// An n-dimensional array: dtype, layout and shared storage. Cloning shares the elements.
#[derive(Clone, Debug)]
pub struct Tensor {
    storage: Storage,
    layout: Layout,
    dtype: DType,
    key: u64,
}

/// A number that no other value of the process has; gradients find their tensors by it.
pub(crate) fn fresh_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Tensor {
    /// A tensor over existing storage; `layout` must stay inside it.
    pub fn from_storage(storage: Storage, layout: Layout, dtype: DType) -> Tensor {
        Tensor { storage, layout, dtype, key: fresh_key() }
    }

    /// Zeros.
    pub fn zeros(shape: &[usize], dtype: DType) -> Result<Tensor> {
        let bytes = byte_len(shape, dtype)?;
        Ok(Tensor::from_storage(Storage::zeroed(bytes)?, Layout::contiguous(shape), dtype))
    }

    /// A contiguous tensor whose contents are about to be written.
    pub fn scratch(shape: &[usize], dtype: DType) -> Result<Tensor> {
        let bytes = byte_len(shape, dtype)?;
        Ok(Tensor::from_storage(Storage::scratch(bytes)?, Layout::contiguous(shape), dtype))
    }

    /// A tensor of these elements, in row-major order.
    pub fn from_slice<T: Element>(shape: &[usize], data: &[T]) -> Result<Tensor> {
        if shape.iter().product::<usize>() != data.len() {
            return Err(Error::value(
                "Tensor",
                format!("{} elements for shape {}", shape.iter().product::<usize>(), Shape::known(shape)),
                format!("{} elements", data.len()),
            ));
        }
        Tensor::from_bytes(shape, T::DTYPE, bytemuck::cast_slice(data))
    }

    /// A tensor of these bytes, in row-major order.
    pub fn from_bytes(shape: &[usize], dtype: DType, bytes: &[u8]) -> Result<Tensor> {
        let mut t = Tensor::scratch(shape, dtype)?;
        t.bytes_mut().expect("a new tensor is not shared")[..bytes.len()].copy_from_slice(bytes);
        Ok(t)
    }

    /// A scalar of the given dtype from a float64.
    pub fn scalar(value: f64, dtype: DType) -> Result<Tensor> {
        use half::{bf16, f16};
        match dtype {
            DType::Bool => Tensor::from_bytes(&[], dtype, &[(value != 0.0) as u8]),
            DType::U8 => Tensor::from_slice(&[], &[value as u8]),
            DType::U16 => Tensor::from_slice(&[], &[value as u16]),
            DType::U32 => Tensor::from_slice(&[], &[value as u32]),
            DType::U64 => Tensor::from_slice(&[], &[value as u64]),
            DType::I8 => Tensor::from_slice(&[], &[value as i8]),
            DType::I16 => Tensor::from_slice(&[], &[value as i16]),
            DType::I32 => Tensor::from_slice(&[], &[value as i32]),
            DType::I64 => Tensor::from_slice(&[], &[value as i64]),
            DType::F16 => Tensor::from_slice(&[], &[f16::from_f64(value)]),
            DType::BF16 => Tensor::from_slice(&[], &[bf16::from_f64(value)]),
            DType::F32 => Tensor::from_slice(&[], &[value as f32]),
            DType::F64 => Tensor::from_slice(&[], &[value]),
        }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The sizes.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// Shape and dtype.
    pub fn spec(&self) -> Spec {
        Spec::known(self.shape(), self.dtype)
    }

    /// The storage.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The number that tells this value from all others.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// The same elements as a value of their own (gradients do not confuse the two).
    pub fn alias(&self) -> Tensor {
        Tensor { key: fresh_key(), ..self.clone() }
    }

    /// Another layout over the same storage.
    pub fn with_layout(&self, layout: Layout) -> Tensor {
        Tensor { storage: self.storage.clone(), layout, dtype: self.dtype, key: fresh_key() }
    }

    /// What kernels see of it.
    pub fn view(&self) -> View<'_> {
        View { dtype: self.dtype, layout: &self.layout, bytes: self.storage.bytes() }
    }

    /// This tensor, or a copy of it, with its elements in row-major order.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.layout.is_contiguous() {
            return Ok(self.clone());
        }
        let mut out = Tensor::scratch(self.shape(), self.dtype)?;
        self.view().copy_to(out.bytes_mut().expect("a new tensor is not shared"));
        // The copy stands for the same value.
        out.key = self.key;
        Ok(out)
    }

    /// The elements of a contiguous tensor as bytes, writable, if nobody else shares the storage.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if !self.layout.is_contiguous() {
            return None;
        }
        let start = self.layout.offset * self.dtype.size();
        let len = self.layout.len() * self.dtype.size();
        self.storage.bytes_mut().map(|b| &mut b[start..start + len])
    }

    /// The elements in row-major order.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype && !(T::DTYPE == DType::U8 && self.dtype == DType::Bool) {
            return Err(Error::dtype("Tensor.to_vec", T::DTYPE.name(), self.dtype.name()));
        }
        Ok(self.contiguous()?.view().slice::<T>().to_vec())
    }

    /// The elements as float64, in row-major order, whatever the dtype.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        let c = self.contiguous()?;
        let v = c.view();
        macro_rules! each { ($($d:ident: $t:ty),*) => { match self.dtype {
            DType::Bool => v.slice::<u8>().iter().map(|&x| f64::from(x)).collect(),
            DType::F16 => v.slice::<half::f16>().iter().map(|x| x.to_f64()).collect(),
            DType::BF16 => v.slice::<half::bf16>().iter().map(|x| x.to_f64()).collect(),
            $(DType::$d => v.slice::<$t>().iter().map(|&x| x as f64).collect(),)*
        } } }
        Ok(
            each!(U8: u8, U16: u16, U32: u32, U64: u64, I8: i8, I16: i16, I32: i32, I64: i64, F32: f32, F64: f64),
        )
    }

    /// A copy as an `ndarray` array.
    pub fn to_ndarray<T: Element>(&self) -> Result<ArrayD<T>> {
        let data = self.to_vec::<T>()?;
        ArrayD::from_shape_vec(IxDyn(self.shape()), data)
            .map_err(|e| Error::internal("Tensor.to_ndarray", e.to_string()))
    }

    /// The elements as an `ndarray` view, without a copy, if no stride is negative.
    pub fn as_ndarray<T: Element>(&self) -> Result<ArrayViewD<'_, T>> {
        if T::DTYPE != self.dtype || self.layout.strides.iter().any(|&s| s < 0) {
            return Err(Error::dtype(
                "Tensor.as_ndarray",
                format!("dtype {} and no negative stride", T::DTYPE),
                format!("{}", self.spec()),
            ));
        }
        let strides: Vec<usize> = self.layout.strides.iter().map(|&s| s as usize).collect();
        ArrayViewD::from_shape(IxDyn(self.shape()).strides(IxDyn(&strides)), self.view().from_offset::<T>())
            .map_err(|e| Error::internal("Tensor.as_ndarray", e.to_string()))
    }

    /// A tensor with the elements of an `ndarray` array of any layout.
    pub fn from_ndarray<T: Element>(array: ArrayViewD<'_, T>) -> Result<Tensor> {
        match array.as_slice() {
            Some(data) => Tensor::from_slice(array.shape(), data),
            None => Tensor::from_slice(array.shape(), &array.iter().copied().collect::<Vec<T>>()),
        }
    }
}

/// The bytes that a contiguous tensor takes, refused where they do not fit a machine word.
pub fn byte_len(shape: &[usize], dtype: DType) -> Result<usize> {
    let len =
        shape.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d)).filter(|&n| n <= isize::MAX as usize);
    len.ok_or_else(|| {
        Error::new(
            crate::error::Kind::Memory,
            "allocate",
            "a tensor that fits the address space",
            format!("shape {}, dtype {dtype}", Shape::known(shape)),
        )
    })
}

/// What a kernel reads: the bytes of a storage and where in them the elements lie.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The element type.
    pub dtype: DType,
    /// Shape, strides, offset.
    pub layout: &'a Layout,
    /// The storage from its first byte.
    pub bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// The sizes.
    pub fn shape(&self) -> &'a [usize] {
        &self.layout.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// Is there no element?
    pub fn is_empty(&self) -> bool {
        self.layout.is_empty()
    }

    /// The elements of a contiguous view.
    pub fn slice<T: Element>(&self) -> &'a [T] {
        debug_assert!(self.layout.is_contiguous());
        &self.from_offset::<T>()[..self.len()]
    }

    /// The storage from the first element on (to be read with the strides).
    pub fn from_offset<T: Element>(&self) -> &'a [T] {
        if self.is_empty() {
            return &[];
        }
        &bytemuck::cast_slice::<u8, T>(self.bytes)[self.layout.offset..]
    }

    /// The bytes of a contiguous view.
    pub fn raw(&self) -> &'a [u8] {
        debug_assert!(self.layout.is_contiguous());
        let size = self.dtype.size();
        if self.is_empty() { &[] } else { &self.bytes[self.layout.offset * size..][..self.len() * size] }
    }

    /// Writes the elements in row-major order.
    pub fn copy_to(&self, out: &mut [u8]) {
        let size = self.dtype.size();
        rkeras_kernels::copy::to_contiguous(
            self.bytes,
            size,
            &self.layout.shape,
            &self.layout.strides,
            self.layout.offset,
            out,
        );
    }
}

/// What a kernel writes: contiguous elements.
#[derive(Debug)]
pub struct ViewMut<'a> {
    /// The element type.
    pub dtype: DType,
    /// The sizes.
    pub shape: &'a [usize],
    /// The elements, in row-major order.
    pub bytes: &'a mut [u8],
}

impl ViewMut<'_> {
    /// The elements.
    pub fn slice<T: Element>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(self.bytes)
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Is there no element?
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ndarray_both_ways() {
        let t = Tensor::from_slice(&[2, 3], &[1f32, 2., 3., 4., 5., 6.]).unwrap();
        let swapped = t.with_layout(t.layout().permute(&[1, 0]));
        let a = swapped.as_ndarray::<f32>().unwrap();
        assert_eq!(a[[2, 1]], 6.0);
        assert_eq!(Tensor::from_ndarray(a).unwrap().to_vec::<f32>().unwrap(), vec![1., 4., 2., 5., 3., 6.]);
        assert_eq!(swapped.to_ndarray::<f32>().unwrap()[[1, 0]], 2.0);
    }
}
