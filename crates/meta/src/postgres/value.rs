//! Conversion of [`Value`] to and from PostgreSQL's wire format.

use crate::Value;
use std::error::Error;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

type Failure = Box<dyn Error + Send + Sync>;

fn known(ty: &Type) -> bool {
    [Type::INT8, Type::INT4, Type::INT2, Type::BOOL, Type::TEXT, Type::VARCHAR, Type::BYTEA].contains(ty)
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match (self, ty) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::I64(x), &Type::INT8) => x.to_sql(ty, out),
            (Value::I64(x), &Type::INT4) => i32::try_from(*x)?.to_sql(ty, out),
            (Value::I64(x), &Type::INT2) => i16::try_from(*x)?.to_sql(ty, out),
            (Value::I64(x), &Type::BOOL) => (*x != 0).to_sql(ty, out),
            (Value::Text(x), &Type::TEXT | &Type::VARCHAR) => x.to_sql(ty, out),
            (Value::Blob(x), &Type::BYTEA) => x.to_sql(ty, out),
            _ => Err(format!("the parameter is not of the type {ty}, which PostgreSQL expects").into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        known(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Value, Failure> {
        Ok(match *ty {
            Type::INT8 => Value::I64(i64::from_sql(ty, raw)?),
            Type::INT4 => Value::I64(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Value::I64(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => bool::from_sql(ty, raw)?.into(),
            Type::BYTEA => Value::Blob(Vec::from_sql(ty, raw)?),
            _ => Value::Text(String::from_sql(ty, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Value, Failure> {
        Ok(Value::Null)
    }

    fn accepts(ty: &Type) -> bool {
        known(ty)
    }
}
