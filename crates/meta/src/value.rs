//! The values of parameters and columns.

/// A parameter or a column. Times are microseconds since 1970 UTC, booleans are 0 and 1, JSON is text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    I64(i64),
    Text(String),
    Blob(Vec<u8>),
}
impl Value {
    pub(crate) fn holds_nul(&self) -> bool {
        matches!(self, Value::Text(text) if text.contains('\0'))
    }
}

macro_rules! from { ($($t:ty => |$x:ident| $e:expr;)*) => { $(impl From<$t> for Value { fn from($x: $t) -> Value { $e } })* } }
from! {
    i64 => |x| Value::I64(x);
    i32 => |x| Value::I64(x.into());
    u32 => |x| Value::I64(x.into());
    bool => |x| Value::I64(x.into());
    &str => |x| Value::Text(x.to_owned());
    &String => |x| Value::Text(x.clone());
    String => |x| Value::Text(x);
    Vec<u8> => |x| Value::Blob(x);
    &[u8] => |x| Value::Blob(x.to_vec());
    &Vec<u8> => |x| Value::Blob(x.clone());
    [u8; 16] => |x| Value::Blob(x.to_vec());
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(x: Option<T>) -> Value {
        x.map_or(Value::Null, Into::into)
    }
}

/// One row of a result. Columns are read by position.
#[derive(Clone, Debug)]
pub struct Row(pub(crate) Vec<Value>);

impl Row {
    /// Returns a column as `T`. Fails with the column's position if it has another type.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, crate::Error> {
        self.0.get(column).and_then(T::from_value).ok_or(crate::Error::Column(column))
    }

    /// Moves a column's text or bytes out of the row, without a copy. The column is NULL afterwards.
    pub fn take<T: TakeValue>(&mut self, column: usize) -> Result<T, crate::Error> {
        let value = self.0.get_mut(column).map(|value| std::mem::replace(value, Value::Null));
        value.and_then(T::take_value).ok_or(crate::Error::Column(column))
    }

    /// Does the same as [`Row::take`], but returns `None` if the column is NULL.
    pub fn take_some<T: TakeValue>(&mut self, column: usize) -> Result<Option<T>, crate::Error> {
        if self.holds(column) { self.take(column).map(Some) } else { Ok(None) }
    }

    /// Returns true if the column exists and is not NULL.
    pub fn holds(&self, column: usize) -> bool {
        self.0.get(column).is_some_and(|value| *value != Value::Null)
    }
}

/// A type that a column can be read as. `from_value` returns `None` for a column of another type.
pub trait FromValue: Sized {
    fn from_value(value: &Value) -> Option<Self>;
}

/// A type that a column's value can be moved into.
pub trait TakeValue: Sized {
    fn take_value(value: Value) -> Option<Self>;
}
impl TakeValue for String {
    fn take_value(value: Value) -> Option<String> {
        match value {
            Value::Text(x) => Some(x),
            _ => None,
        }
    }
}
impl TakeValue for Vec<u8> {
    fn take_value(value: Value) -> Option<Vec<u8>> {
        match value {
            Value::Blob(x) => Some(x),
            _ => None,
        }
    }
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<i64> {
        match value {
            Value::I64(x) => Some(*x),
            _ => None,
        }
    }
}
impl FromValue for bool {
    fn from_value(value: &Value) -> Option<bool> {
        i64::from_value(value).map(|x| x != 0)
    }
}
impl FromValue for String {
    fn from_value(value: &Value) -> Option<String> {
        match value {
            Value::Text(x) => Some(x.clone()),
            _ => None,
        }
    }
}
impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Vec<u8>> {
        match value {
            Value::Blob(x) => Some(x.clone()),
            _ => None,
        }
    }
}
impl FromValue for [u8; 16] {
    fn from_value(value: &Value) -> Option<[u8; 16]> {
        match value {
            Value::Blob(x) => x.as_slice().try_into().ok(),
            _ => None,
        }
    }
}
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Option<T>> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}
