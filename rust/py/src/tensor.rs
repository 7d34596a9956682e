//! Tensors in Python, and their exchange with NumPy, the buffer protocol and DLPack. The only file of the
//! binding with `unsafe`: here memory crosses the border.

use std::ffi::{CStr, c_int, c_void};
use std::ptr::{self, NonNull};

use numpy::npyffi::{self, NpyTypes, PY_ARRAY_API};
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCapsule, PyDict, PyString, PyTuple};
use pyo3::{IntoPyObjectExt, ffi};
use rkeras_core::dtype::DType;
use rkeras_core::error::Error;
use rkeras_core::layout::Layout;
use rkeras_core::ops::cast::cast;
use rkeras_core::ops::reshape::transpose;
use rkeras_core::ops::slice::{Index, OPEN, index};
use rkeras_core::shape::Shape;
use rkeras_core::storage::{Buffer, Storage};
use rkeras_core::tensor::Tensor;
use rkeras_core::trace::Value;

use crate::convert::{self, array_dtype};
use crate::error::{guard, raise};
use crate::operators as ops;

/// A value: elements in memory, a symbol of the graph being traced, or a shape and dtype alone.
#[pyclass(name = "Tensor", module = "rkeras._rkeras", frozen, dict, weakref)]
pub struct PyTensor {
    /// What it stands for.
    pub value: Value,
}

impl PyTensor {
    /// The Python object of a value.
    pub fn new(value: Value) -> PyTensor {
        PyTensor { value }
    }

    fn eager(&self) -> PyResult<&Tensor> {
        self.value.tensor().map_err(raise)
    }
}

/// A shape as Python's tuple, None where a size is unknown.
pub fn shape_tuple<'py>(py: Python<'py>, shape: &Shape) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, shape.iter().copied())
}

#[pymethods]
impl PyTensor {
    /// In `array + tensor` NumPy leaves the work to the tensor.
    #[classattr]
    fn __array_priority__() -> f64 {
        1000.0
    }

    #[new]
    #[pyo3(signature = (value, dtype = None))]
    fn py_new(value: &Bound<'_, PyAny>, dtype: Option<&Bound<'_, PyAny>>) -> PyResult<PyTensor> {
        tensor(value, dtype)
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        match &self.value {
            Value::Tensor(t) => PyTuple::new(py, t.shape()),
            other => shape_tuple(py, &other.shape()),
        }
    }

    #[getter]
    fn dtype<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, self.value.dtype().name())
    }

    #[getter]
    fn ndim(&self) -> usize {
        self.value.rank()
    }

    #[getter]
    fn size(&self) -> Option<usize> {
        self.value.shape().len()
    }

    #[getter]
    fn is_symbolic(&self) -> bool {
        !matches!(self.value, Value::Tensor(_))
    }

    /// The axes in reverse order.
    #[getter(T)]
    fn reversed_axes(&self) -> PyResult<PyTensor> {
        let axes: Vec<i64> = (0..self.value.rank() as i64).rev().collect();
        Ok(PyTensor::new(guard(|| transpose(&self.value, &axes))?))
    }

    /// The elements as a read-only NumPy array over the same memory.
    fn numpy<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let tensor = self.eager()?;
        match numpy_dtype(py, tensor.dtype())? {
            Some(descr) => share_with_numpy(py, tensor, descr),
            // Without a package that gives NumPy bfloat16, its values are shown as float32.
            None => {
                let wide = guard(|| cast(&self.value, DType::F32))?;
                PyTensor::new(wide).numpy(py)
            }
        }
    }

    /// The only element as a Python number.
    fn item<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let t = self.eager()?;
        if t.layout().len() != 1 {
            return Err(raise(Error::value(
                "item",
                "a tensor of one element",
                format!("shape {}", t.spec().shape),
            )));
        }
        macro_rules! first {
            ($t:ty) => {
                guard(|| Ok(t.to_vec::<$t>()?[0]))?
            };
        }
        match t.dtype() {
            DType::Bool => (first!(u8) != 0).into_bound_py_any(py),
            DType::I64 => first!(i64).into_bound_py_any(py),
            DType::U64 => first!(u64).into_bound_py_any(py),
            d if d.is_float() => guard(|| Ok(t.to_f64()?[0]))?.into_bound_py_any(py),
            // Every other integer is exact in a float64.
            _ => (guard(|| Ok(t.to_f64()?[0]))? as i64).into_bound_py_any(py),
        }
    }

    /// The elements as nested lists.
    fn tolist<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.numpy(py)?.call_method0("tolist")
    }

    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(
        &self,
        py: Python<'py>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = self.numpy(py)?;
        if let Some(dtype) = dtype.filter(|d| !d.is_none())
            && !array.getattr("dtype")?.eq(dtype)?
        {
            if copy == Some(false) {
                return Err(PyValueError::new_err(format!(
                    "__array__: expected a dtype that needs no copy. Received: dtype={dtype}, copy=False."
                )));
            }
            return array.call_method1("astype", (dtype,));
        }
        if copy == Some(true) { array.call_method0("copy") } else { Ok(array) }
    }

    #[pyo3(signature = (*, stream = None, max_version = None, dl_device = None, copy = None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<&Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if stream.is_some_and(|s| !s.is_none()) {
            return Err(PyBufferError::new_err(
                "__dlpack__: expected stream=None on the CPU. Received: a stream.",
            ));
        }
        if dl_device.is_some_and(|(kind, _)| kind != dlpack::CPU) {
            return Err(PyBufferError::new_err(format!(
                "__dlpack__: expected the CPU, device type {}. Received: {dl_device:?}.",
                dlpack::CPU
            )));
        }
        let versioned = max_version.is_some_and(|(major, _)| major >= 1);
        dlpack::export(py, self.eager()?, versioned, copy)
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        (dlpack::CPU, 0)
    }

    /// # Safety
    /// Called by Python with a valid `view`.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: Python hands a valid view; what is filled in stays alive with the object in `view.obj`.
        unsafe { fill_buffer(slf, view, flags) }
    }

    /// # Safety
    /// Called by Python with the view that `__getbuffer__` filled.
    unsafe fn __releasebuffer__(&self, view: *mut ffi::Py_buffer) {
        // SAFETY: `internal` is the box made in `fill_buffer`.
        drop(unsafe { Box::from_raw((*view).internal.cast::<Exported>()) });
    }

    fn __getitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<PyTensor> {
        let mut indices = Vec::new();
        if let Ok(keys) = key.cast::<PyTuple>() {
            for k in keys.iter_borrowed() {
                indices.push(read_index(&k)?);
            }
        } else {
            indices.push(read_index(key)?);
        }
        Ok(PyTensor::new(guard(|| index(&self.value, &indices))?))
    }

    fn __len__(&self) -> PyResult<usize> {
        match self.value.shape().first() {
            Some(Some(n)) => Ok(*n),
            Some(None) => {
                Err(PyTypeError::new_err("len: expected a known first axis. Received: a symbolic size."))
            }
            None => Err(PyTypeError::new_err("len: expected a tensor with axes. Received: a scalar.")),
        }
    }

    fn __iter__(slf: Bound<'_, Self>) -> PyResult<TensorIterator> {
        let len = slf.get().__len__()?;
        Ok(TensorIterator { tensor: slf.unbind(), next: 0, len })
    }

    fn __bool__(&self) -> PyResult<bool> {
        let t = self.eager()?;
        if t.layout().len() != 1 {
            return Err(raise(
                Error::value("bool", "a tensor of one element", format!("shape {}", t.spec().shape))
                    .hint("use ops.any or ops.all"),
            ));
        }
        Ok(guard(|| t.to_f64())?[0] != 0.0)
    }

    fn __int__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.item(py)?.call_method0("__int__")
    }

    fn __float__(&self, py: Python<'_>) -> PyResult<f64> {
        self.item(py)?.extract()
    }

    fn __index__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let dtype = self.value.dtype();
        if !dtype.is_int() || self.value.rank() != 0 {
            return Err(PyTypeError::new_err(format!(
                "index: expected an integer scalar. Received: {}.",
                self.value.spec()
            )));
        }
        self.item(py)
    }

    fn __add__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::ADD, self, other, false)
    }

    fn __radd__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::ADD, self, other, true)
    }

    fn __sub__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::SUB, self, other, false)
    }

    fn __rsub__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::SUB, self, other, true)
    }

    fn __mul__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::MUL, self, other, false)
    }

    fn __rmul__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::MUL, self, other, true)
    }

    fn __truediv__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::DIV, self, other, false)
    }

    fn __rtruediv__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::DIV, self, other, true)
    }

    fn __floordiv__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::FLOOR_DIV, self, other, false)
    }

    fn __rfloordiv__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::FLOOR_DIV, self, other, true)
    }

    fn __mod__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::MOD, self, other, false)
    }

    fn __rmod__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::MOD, self, other, true)
    }

    fn __matmul__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::MATMUL, self, other, false)
    }

    fn __rmatmul__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::MATMUL, self, other, true)
    }

    fn __and__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::AND, self, other, false)
    }

    fn __rand__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::AND, self, other, true)
    }

    fn __or__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::OR, self, other, false)
    }

    fn __ror__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::OR, self, other, true)
    }

    fn __xor__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::XOR, self, other, false)
    }

    fn __rxor__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::XOR, self, other, true)
    }

    fn __lshift__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::SHL, self, other, false)
    }

    fn __rlshift__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::SHL, self, other, true)
    }

    fn __rshift__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::SHR, self, other, false)
    }

    fn __rrshift__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        ops::binary(py, &ops::SHR, self, other, true)
    }

    fn __pow__(
        &self,
        py: Python<'_>,
        other: &Bound<'_, PyAny>,
        modulo: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if modulo.is_some() {
            return Ok(py.NotImplemented());
        }
        ops::binary(py, &ops::POW, self, other, false)
    }

    fn __rpow__(
        &self,
        py: Python<'_>,
        other: &Bound<'_, PyAny>,
        modulo: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if modulo.is_some() {
            return Ok(py.NotImplemented());
        }
        ops::binary(py, &ops::POW, self, other, true)
    }

    fn __neg__(&self, py: Python<'_>) -> PyResult<PyTensor> {
        ops::unary(py, &ops::NEG, self)
    }

    fn __abs__(&self, py: Python<'_>) -> PyResult<PyTensor> {
        ops::unary(py, &ops::ABS, self)
    }

    fn __invert__(&self, py: Python<'_>) -> PyResult<PyTensor> {
        let op = if self.value.dtype() == DType::Bool { &ops::NOT } else { &ops::INVERT };
        ops::unary(py, op, self)
    }

    fn __richcmp__(&self, py: Python<'_>, other: &Bound<'_, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        ops::binary(py, ops::comparison(op), self, other, false)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> isize {
        match slf.get().value.key() {
            // Specs have no key: the object itself counts.
            0 => slf.as_ptr() as isize >> 4,
            key => key as isize,
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (shape, dtype) = (self.value.shape(), self.value.dtype());
        let last = match &self.value {
            Value::Tensor(_) => format!("numpy={}", self.numpy(py)?.repr()?),
            Value::Symbol(_) => "symbolic".to_string(),
            Value::Spec(_) => "spec".to_string(),
        };
        Ok(format!("<rkeras.Tensor shape={shape}, dtype={dtype}, {last}>"))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let this = slf.get();
        let array = this.numpy(py)?;
        // Plain NumPy everywhere: bfloat16 travels as float32, which holds it exactly.
        let array = if this.value.dtype() == DType::BF16 {
            array.call_method1("astype", ("float32",))?
        } else {
            array
        };
        let args = PyTuple::new(py, [array, this.dtype(py).into_any()])?;
        Ok((slf.get_type().into_any(), args))
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        // Nothing can change a tensor's elements.
        slf
    }
}

/// Slices along the first axis, one by one.
#[pyclass(module = "rkeras._rkeras")]
pub struct TensorIterator {
    tensor: Py<PyTensor>,
    next: usize,
    len: usize,
}

#[pymethods]
impl TensorIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self) -> PyResult<Option<PyTensor>> {
        if self.next == self.len {
            return Ok(None);
        }
        let at = [Index::Int(self.next as i64)];
        self.next += 1;
        Ok(Some(PyTensor::new(guard(|| index(&self.tensor.get().value, &at))?)))
    }
}

/// Elements copied from a scalar, nested lists, NumPy array, buffer, Variable or Tensor.
#[pyfunction]
#[pyo3(signature = (value, dtype = None))]
pub fn tensor(value: &Bound<'_, PyAny>, dtype: Option<&Bound<'_, PyAny>>) -> PyResult<PyTensor> {
    let dtype = dtype.filter(|d| !d.is_none()).map(convert::dtype_of).transpose()?;
    Ok(PyTensor::new(convert::value(value, dtype)?))
}

fn read_index(key: &Bound<'_, PyAny>) -> PyResult<Index> {
    use pyo3::types::{PyBool, PyInt, PySlice};
    if key.is_none() {
        return Ok(Index::NewAxis);
    }
    if key.is(key.py().Ellipsis()) {
        return Ok(Index::Ellipsis);
    }
    if let Ok(slice) = key.cast::<PySlice>() {
        let bound = |name: &str| -> PyResult<Option<i64>> {
            let b = slice.getattr(name)?;
            if b.is_none() { Ok(None) } else { b.extract().map(Some) }
        };
        let step = bound("step")?.unwrap_or(1);
        if step == 0 {
            return Err(PyValueError::new_err(
                "getitem: expected a slice step other than zero. Received: 0.",
            ));
        }
        return Ok(Index::Slice(bound("start")?.unwrap_or(OPEN), bound("stop")?.unwrap_or(OPEN), step));
    }
    if key.is_instance_of::<PyInt>() && !key.is_instance_of::<PyBool>() {
        return Ok(Index::Int(key.extract()?));
    }
    // NumPy's integer scalars are integers; its 0-d arrays and our tensors are arrays.
    if key.cast::<PyTensor>().is_err()
        && key.cast::<PyUntypedArray>().is_err()
        && !key.is_instance_of::<PyBool>()
        && let Ok(i) = key.extract::<i64>()
    {
        return Ok(Index::Int(i));
    }
    if let Ok(list) = key.cast::<pyo3::types::PyList>()
        && list.is_empty()
    {
        return Ok(Index::Array(convert::value(key, Some(DType::I32))?));
    }
    Ok(Index::Array(convert::value(key, None)?))
}

/// NumPy's dtype; None for bfloat16 where no package provides it.
fn numpy_dtype(py: Python<'_>, dtype: DType) -> PyResult<Option<Bound<'_, PyArrayDescr>>> {
    Ok(Some(match dtype {
        DType::Bool => numpy::dtype::<bool>(py),
        DType::U8 => numpy::dtype::<u8>(py),
        DType::U16 => numpy::dtype::<u16>(py),
        DType::U32 => numpy::dtype::<u32>(py),
        DType::U64 => numpy::dtype::<u64>(py),
        DType::I8 => numpy::dtype::<i8>(py),
        DType::I16 => numpy::dtype::<i16>(py),
        DType::I32 => numpy::dtype::<i32>(py),
        DType::I64 => numpy::dtype::<i64>(py),
        DType::F32 => numpy::dtype::<f32>(py),
        DType::F64 => numpy::dtype::<f64>(py),
        DType::F16 => PyArrayDescr::new(py, "float16")?,
        DType::BF16 => {
            static BF16: PyOnceLock<Option<Py<PyArrayDescr>>> = PyOnceLock::new();
            let known = BF16.get_or_init(py, || {
                let scalar = py.import("ml_dtypes").and_then(|m| m.getattr("bfloat16")).ok()?;
                PyArrayDescr::new(py, scalar).ok().map(Bound::unbind)
            });
            return Ok(known.as_ref().map(|d| d.bind(py).clone()));
        }
    }))
}

/// Where the first element lies; any address will do if there is none.
fn first_byte(t: &Tensor) -> *mut c_void {
    let offset = if t.layout().is_empty() { 0 } else { t.layout().offset * t.dtype().size() };
    t.storage().bytes()[offset..].as_ptr().cast_mut().cast()
}

fn byte_strides(t: &Tensor) -> Vec<isize> {
    t.layout().strides.iter().map(|s| s * t.dtype().size() as isize).collect()
}

/// A read-only array over the tensor's memory. The storage lives as long as the array; programs that update a
/// variable copy on write while it does.
fn share_with_numpy<'py>(
    py: Python<'py>,
    t: &Tensor,
    descr: Bound<'py, PyArrayDescr>,
) -> PyResult<Bound<'py, PyAny>> {
    let owner = Bound::new(py, PyTensor::new(Value::Tensor(t.clone())))?;
    let mut dims: Vec<npyffi::npy_intp> = t.shape().iter().map(|&d| d as npyffi::npy_intp).collect();
    let mut strides: Vec<npyffi::npy_intp> = byte_strides(t);
    // SAFETY: dims and strides have `rank` entries and describe elements inside the storage, which `owner` keeps
    // alive as the array's base. Flags 0 makes the array read-only. Both calls steal the reference they are handed.
    unsafe {
        let array = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            npyffi::get_type_object(py, NpyTypes::PyArray_Type),
            descr.into_dtype_ptr(),
            dims.len() as c_int,
            dims.as_mut_ptr(),
            strides.as_mut_ptr(),
            first_byte(t),
            0,
            ptr::null_mut(),
        );
        let array = Bound::from_owned_ptr_or_err(py, array)?;
        if PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), owner.into_ptr()) < 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}

/// An array whose elements lie in row-major order, aligned, in the machine's byte order: itself or a copy.
fn plain_array<'py>(array: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyUntypedArray>> {
    let native = array.dtype().is_native_byteorder().unwrap_or(true);
    if native && array.is_c_contiguous() && array.is_aligned() {
        return Ok(array.clone());
    }
    let fresh = if native {
        array.call_method1("copy", ("C",))?
    } else {
        let native = array.dtype().call_method1("newbyteorder", ("=",))?;
        let order = PyDict::new(array.py());
        order.set_item("order", "C")?;
        array.call_method("astype", (native,), Some(&order))?
    };
    Ok(fresh.cast_into()?)
}

fn supported(array: &Bound<'_, PyUntypedArray>) -> PyResult<DType> {
    array_dtype(array).ok_or_else(|| {
        PyTypeError::new_err(format!(
            "tensor: expected an array of numbers or truth values. Received: dtype {}. Hint: array.astype(\"float32\").",
            array.dtype()
        ))
    })
}

/// The memory of an array in row-major order.
fn array_bytes(array: &Bound<'_, PyUntypedArray>) -> (NonNull<u8>, usize) {
    let len = array.len() * array.dtype().itemsize();
    // SAFETY: the pointer is to a live array object.
    let data = unsafe { (*array.as_array_ptr()).data.cast::<u8>() };
    (NonNull::new(data).unwrap_or(NonNull::dangling()), len)
}

/// The elements of an array, copied.
pub fn copy_array(array: &Bound<'_, PyUntypedArray>) -> PyResult<Tensor> {
    let dtype = supported(array)?;
    let array = plain_array(array)?;
    let (data, len) = array_bytes(&array);
    // SAFETY: a C-contiguous array has `len` bytes from `data` on, and `array` is alive in this function.
    let bytes = unsafe { std::slice::from_raw_parts(data.as_ptr(), len) };
    guard(|| Tensor::from_bytes(array.shape(), dtype, bytes))
}

/// The elements of an array, shared if they lie in row-major order. The array stays alive with the tensor.
pub fn share_array(array: &Bound<'_, PyUntypedArray>) -> PyResult<Tensor> {
    let dtype = supported(array)?;
    let array = plain_array(array)?;
    let (data, len) = array_bytes(&array);
    let shape = array.shape().to_vec();
    let owner: Box<Py<PyUntypedArray>> = Box::new(array.unbind());
    // SAFETY: `len` bytes from `data` on are the array's, which `owner` keeps alive. That nobody writes the array
    // while it is read is asked of the caller in Python, as everywhere in NumPy.
    let buffer = unsafe { Buffer::from_external(data, len, owner) };
    Ok(Tensor::from_storage(Storage::from_buffer(buffer), Layout::contiguous(&shape), dtype))
}

/// What a buffer view points to beside the elements.
struct Exported {
    shape: Vec<ffi::Py_ssize_t>,
    strides: Vec<ffi::Py_ssize_t>,
    format: &'static CStr,
}

fn buffer_format(dtype: DType) -> Option<&'static CStr> {
    Some(match dtype {
        DType::Bool => c"?",
        DType::U8 => c"B",
        DType::U16 => c"H",
        DType::U32 => c"I",
        DType::U64 => c"Q",
        DType::I8 => c"b",
        DType::I16 => c"h",
        DType::I32 => c"i",
        DType::I64 => c"q",
        DType::F16 => c"e",
        DType::F32 => c"f",
        DType::F64 => c"d",
        DType::BF16 => return None,
    })
}

/// # Safety
/// `view` must be valid for writing.
unsafe fn fill_buffer(slf: Bound<'_, PyTensor>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
    let refuse = |text: &str| Err(PyBufferError::new_err(format!("buffer: {text}")));
    if view.is_null() {
        return refuse("expected a view to fill. Received: none.");
    }
    // SAFETY: checked above; an error leaves no owner behind.
    unsafe { (*view).obj = ptr::null_mut() };
    let t = slf.get().eager()?.clone();
    let asked = |flag: c_int| flags & flag == flag;
    if asked(ffi::PyBUF_WRITABLE) {
        return refuse("expected a reader. Received: a request to write; tensors do not change.");
    }
    let Some(format) = buffer_format(t.dtype()) else {
        return refuse("expected a dtype with a buffer format. Received: bfloat16. Hint: cast to float32.");
    };
    let contiguous = t.layout().is_contiguous();
    if !contiguous && !asked(ffi::PyBUF_STRIDES) {
        return refuse(
            "expected a reader that takes strides. Received: a strided tensor and a plain reader.",
        );
    }
    let ordered =
        asked(ffi::PyBUF_C_CONTIGUOUS) || asked(ffi::PyBUF_F_CONTIGUOUS) || asked(ffi::PyBUF_ANY_CONTIGUOUS);
    if ordered && !contiguous {
        return refuse("expected elements in row-major order. Received: a strided tensor.");
    }
    if asked(ffi::PyBUF_F_CONTIGUOUS) && t.shape().len() > 1 {
        return refuse("expected a reader of row-major order. Received: a request for column-major order.");
    }
    let size = t.dtype().size();
    let mut exported = Box::new(Exported {
        shape: t.shape().iter().map(|&d| d as ffi::Py_ssize_t).collect(),
        strides: byte_strides(&t),
        format,
    });
    // SAFETY: `view` is valid; the pointers handed out live in `exported` (freed in __releasebuffer__) and in the
    // storage, which the object in `obj` keeps alive: a frozen Tensor holds the same storage for life.
    unsafe {
        (*view).buf = first_byte(&t);
        (*view).len = (t.layout().len() * size) as ffi::Py_ssize_t;
        (*view).itemsize = size as ffi::Py_ssize_t;
        (*view).readonly = 1;
        (*view).ndim = t.shape().len() as c_int;
        (*view).format =
            if asked(ffi::PyBUF_FORMAT) { exported.format.as_ptr().cast_mut() } else { ptr::null_mut() };
        (*view).shape = if asked(ffi::PyBUF_ND) { exported.shape.as_mut_ptr() } else { ptr::null_mut() };
        (*view).strides =
            if asked(ffi::PyBUF_STRIDES) { exported.strides.as_mut_ptr() } else { ptr::null_mut() };
        (*view).suboffsets = ptr::null_mut();
        (*view).internal = Box::into_raw(exported).cast();
        (*view).obj = slf.into_ptr();
    }
    Ok(())
}

/// Tensors of other libraries through DLPack, without copies.
#[pyfunction]
pub fn from_dlpack(value: &Bound<'_, PyAny>) -> PyResult<PyTensor> {
    dlpack::import(value).map(|t| PyTensor::new(Value::Tensor(t)))
}

/// The DLPack structures, version 1.0, and both directions.
mod dlpack {
    use super::*;

    /// The device type of main memory.
    pub const CPU: i32 = 1;
    const READ_ONLY: u64 = 1;
    const IS_COPIED: u64 = 2;

    #[repr(C)]
    struct DLTensor {
        data: *mut c_void,
        device_type: i32,
        device_id: i32,
        ndim: i32,
        code: u8,
        bits: u8,
        lanes: u16,
        shape: *mut i64,
        strides: *mut i64,
        byte_offset: u64,
    }

    #[repr(C)]
    struct Managed {
        tensor: DLTensor,
        context: *mut c_void,
        deleter: Option<unsafe extern "C" fn(*mut Managed)>,
    }

    #[repr(C)]
    struct ManagedVersioned {
        major: u32,
        minor: u32,
        context: *mut c_void,
        deleter: Option<unsafe extern "C" fn(*mut ManagedVersioned)>,
        flags: u64,
        tensor: DLTensor,
    }

    /// What keeps an exported tensor alive: storage, shape, strides.
    struct Keep {
        _tensor: Tensor,
        shape: Vec<i64>,
        strides: Vec<i64>,
    }

    fn code(dtype: DType) -> u8 {
        match dtype {
            d if d.is_signed_int() => 0,
            d if d.is_int() => 1,
            DType::BF16 => 4,
            DType::Bool => 6,
            _ => 2,
        }
    }

    fn dtype(t: &DLTensor) -> Option<DType> {
        let found = rkeras_core::dtype::ALL
            .into_iter()
            .find(|&d| code(d) == t.code && d.size() * 8 == t.bits as usize);
        found.filter(|_| t.lanes == 1)
    }

    fn describe(t: &Tensor, keep: &mut Keep) -> DLTensor {
        DLTensor {
            data: first_byte(t),
            device_type: CPU,
            device_id: 0,
            ndim: t.shape().len() as i32,
            code: code(t.dtype()),
            bits: (t.dtype().size() * 8) as u8,
            lanes: 1,
            shape: keep.shape.as_mut_ptr(),
            strides: keep.strides.as_mut_ptr(),
            byte_offset: 0,
        }
    }

    unsafe extern "C" fn delete(m: *mut Managed) {
        // SAFETY: consumers call this once with the pointer that `export` made; context is the Keep made there.
        unsafe {
            let managed = Box::from_raw(m);
            drop(Box::from_raw(managed.context.cast::<Keep>()));
        }
    }

    unsafe extern "C" fn delete_versioned(m: *mut ManagedVersioned) {
        // SAFETY: as in `delete`.
        unsafe {
            let managed = Box::from_raw(m);
            drop(Box::from_raw(managed.context.cast::<Keep>()));
        }
    }

    const PLAIN: &CStr = c"dltensor";
    const VERSIONED: &CStr = c"dltensor_versioned";

    /// Frees what nobody took out of the capsule; a consumer renames the capsule when it takes the tensor.
    unsafe extern "C" fn capsule_dropped(capsule: *mut ffi::PyObject) {
        // SAFETY: Python calls this once with the capsule made in `export`; its pointer fits its name.
        unsafe {
            if ffi::PyCapsule_IsValid(capsule, PLAIN.as_ptr()) == 1 {
                let m = ffi::PyCapsule_GetPointer(capsule, PLAIN.as_ptr()).cast::<Managed>();
                delete(m);
            } else if ffi::PyCapsule_IsValid(capsule, VERSIONED.as_ptr()) == 1 {
                let m = ffi::PyCapsule_GetPointer(capsule, VERSIONED.as_ptr()).cast::<ManagedVersioned>();
                delete_versioned(m);
            }
        }
    }

    /// A capsule over the tensor's memory. Only the versioned kind can say that it must not be written; readers
    /// of the old kind get a copy.
    pub fn export<'py>(
        py: Python<'py>,
        t: &Tensor,
        versioned: bool,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let copied = copy == Some(true) || !versioned;
        if copied && copy == Some(false) {
            return Err(PyBufferError::new_err(
                "__dlpack__: expected max_version=(1, 0) or newer with copy=False. Received: an older one, which \
                 cannot mark memory as read-only.",
            ));
        }
        let t = if copied {
            guard(|| {
                let c = t.contiguous()?;
                Tensor::from_bytes(c.shape(), c.dtype(), c.view().raw())
            })?
        } else {
            t.clone()
        };
        let mut keep = Box::new(Keep {
            shape: t.shape().iter().map(|&d| d as i64).collect(),
            strides: t.layout().strides.iter().map(|&s| s as i64).collect(),
            _tensor: t.clone(),
        });
        let tensor = describe(&t, &mut keep);
        let context = Box::into_raw(keep).cast::<c_void>();
        let (pointer, name) = if versioned {
            let flags = if copied { IS_COPIED } else { READ_ONLY };
            let deleter = Some(delete_versioned as unsafe extern "C" fn(_));
            let m = ManagedVersioned { major: 1, minor: 0, context, deleter, flags, tensor };
            (Box::into_raw(Box::new(m)).cast::<c_void>(), VERSIONED)
        } else {
            let deleter = Some(delete as unsafe extern "C" fn(_));
            (Box::into_raw(Box::new(Managed { tensor, context, deleter })).cast::<c_void>(), PLAIN)
        };
        // SAFETY: the pointer is valid and fits the name, which is static; the destructor knows both kinds.
        unsafe {
            Bound::from_owned_ptr_or_err(
                py,
                ffi::PyCapsule_New(pointer, name.as_ptr(), Some(capsule_dropped)),
            )
        }
    }

    /// A tensor that another library made, until it is dropped.
    enum Foreign {
        Plain(*mut Managed),
        Versioned(*mut ManagedVersioned),
    }
    // SAFETY: the only thing done with the pointer, after the tensor was read, is one call of its deleter; DLPack
    // asks deleters to be callable from any thread.
    unsafe impl Send for Foreign {}
    // SAFETY: as above.
    unsafe impl Sync for Foreign {}

    impl Drop for Foreign {
        fn drop(&mut self) {
            // Deleters of Python libraries may touch Python objects.
            Python::attach(|_| {
                // SAFETY: the producer's deleter, called once with the producer's pointer.
                unsafe {
                    match *self {
                        Foreign::Plain(m) => {
                            if let Some(delete) = (*m).deleter {
                                delete(m);
                            }
                        }
                        Foreign::Versioned(m) => {
                            if let Some(delete) = (*m).deleter {
                                delete(m);
                            }
                        }
                    }
                }
            });
        }
    }

    /// The tensor in an object with `__dlpack__`, or in a capsule.
    pub fn import(value: &Bound<'_, PyAny>) -> PyResult<Tensor> {
        let py = value.py();
        let capsule = if value.cast::<PyCapsule>().is_ok() {
            value.clone()
        } else {
            if !value.hasattr("__dlpack__")? {
                return Err(crate::primitive::not_a_tensor("from_dlpack", value));
            }
            let options = PyDict::new(py);
            options.set_item("max_version", (1, 0))?;
            match value.call_method("__dlpack__", (), Some(&options)) {
                // Producers from before version 1 do not know the argument.
                Err(e) if e.is_instance_of::<PyTypeError>(py) => value.call_method0("__dlpack__")?,
                other => other?,
            }
        };
        let raw = capsule.as_ptr();
        // SAFETY: the capsule's name says what it points to. Renaming it makes us the owner, as DLPack prescribes.
        let (foreign, t) = unsafe {
            if ffi::PyCapsule_IsValid(raw, VERSIONED.as_ptr()) == 1 {
                let m = ffi::PyCapsule_GetPointer(raw, VERSIONED.as_ptr()).cast::<ManagedVersioned>();
                if (*m).major != 1 {
                    return Err(PyBufferError::new_err(format!(
                        "from_dlpack: expected DLPack version 1. Received: version {}.",
                        (*m).major
                    )));
                }
                ffi::PyCapsule_SetName(raw, c"used_dltensor_versioned".as_ptr());
                (Foreign::Versioned(m), &(*m).tensor)
            } else if ffi::PyCapsule_IsValid(raw, PLAIN.as_ptr()) == 1 {
                let m = ffi::PyCapsule_GetPointer(raw, PLAIN.as_ptr()).cast::<Managed>();
                ffi::PyCapsule_SetName(raw, c"used_dltensor".as_ptr());
                (Foreign::Plain(m), &(*m).tensor)
            } else {
                return Err(PyBufferError::new_err(
                    "from_dlpack: expected a DLPack capsule that was not used yet. Received: another capsule.",
                ));
            }
        };
        if t.device_type != CPU {
            return Err(PyBufferError::new_err(format!(
                "from_dlpack: expected a tensor in main memory. Received: device type {}. Hint: move it to the CPU.",
                t.device_type
            )));
        }
        let Some(dtype) = dtype(t) else {
            return Err(PyTypeError::new_err(format!(
                "from_dlpack: expected real numbers or truth values. Received: type code {}, {} bits, {} lanes.",
                t.code, t.bits, t.lanes
            )));
        };
        let rank = t.ndim as usize;
        // SAFETY: DLPack gives `ndim` sizes, and as many strides unless that pointer is null.
        let (sizes, strides) = unsafe {
            let sizes: Vec<usize> = (0..rank).map(|i| *t.shape.add(i) as usize).collect();
            let strides: Option<Vec<isize>> =
                (!t.strides.is_null()).then(|| (0..rank).map(|i| *t.strides.add(i) as isize).collect());
            (sizes, strides)
        };
        let mut layout = Layout::contiguous(&sizes);
        if let Some(strides) = strides {
            layout.strides = strides.into_iter().collect();
        }
        if layout.is_empty() {
            return guard(|| Tensor::zeros(&sizes, dtype));
        }
        // From the lowest to the highest address, negative strides included.
        let reach = |sign: isize| -> isize {
            let ends = sizes.iter().zip(&layout.strides).map(|(&n, &s)| (n as isize - 1) * s);
            ends.filter(|e| e.signum() == sign).sum()
        };
        let (low, high) = (reach(-1), reach(1));
        layout.offset = low.unsigned_abs();
        let bytes = (high - low + 1) as usize * dtype.size();
        // SAFETY: all elements lie between the lowest and the highest address, in memory of the producer.
        let first =
            unsafe { t.data.cast::<u8>().add(t.byte_offset as usize).offset(low * dtype.size() as isize) };
        let Some(first) = NonNull::new(first) else {
            return Err(PyBufferError::new_err("from_dlpack: expected memory. Received: a null pointer."));
        };
        if !(first.as_ptr() as usize).is_multiple_of(dtype.size()) {
            // SAFETY: as above; the bytes are copied before the producer's tensor is dropped.
            let raw = unsafe { std::slice::from_raw_parts(first.as_ptr(), bytes) };
            return guard(|| {
                let whole = Tensor::from_bytes(&[bytes / dtype.size()], dtype, raw)?;
                Ok(whole.with_layout(layout))
            });
        }
        // SAFETY: `foreign` keeps the memory alive. That nobody writes to it meanwhile is the agreement between
        // producer and consumer that DLPack asks for.
        let buffer = unsafe { Buffer::from_external(first, bytes, Box::new(foreign)) };
        Ok(Tensor::from_storage(Storage::from_buffer(buffer), layout, dtype))
    }
}
