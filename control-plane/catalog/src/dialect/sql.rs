//! Statements: one text and the values bound to it, run on whichever engine is open. In: `$1` parameters that are integers,
//! text or bytes. Out: rows of those.
//!
//! sqlx's own `Any` driver does as much, but is opened by a URL alone, which would have to hold the password, and knows
//! neither of SQLite's settings nor of Postgres's notifications.

use std::borrow::Cow;
use std::marker::PhantomData;

use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments, Encode, FromRow, Sqlite, SqliteConnection, SqlitePool, Type};
#[cfg(feature = "postgres")]
use sqlx::{PgConnection, PgPool, Postgres, postgres::PgRow};

/// A value that a statement takes. Absent ones keep their type, which Postgres wants to know.
pub(crate) enum Value<'q> {
    Integer(Option<i64>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
}

/// A statement with what is bound to it.
pub(crate) struct Query<'q> {
    sql: sqlx::SqlStr,
    values: Vec<Value<'q>>,
}

/// A statement that gives rows.
pub(crate) struct QueryAs<'q, T> {
    query: Query<'q>,
    row: PhantomData<fn() -> T>,
}

/// A statement that gives rows of one value.
pub(crate) struct QueryScalar<'q, T>(QueryAs<'q, (T,)>);

/// What a statement has done.
#[derive(Debug)]
pub(crate) struct Done {
    rows: u64,
}

/// Where a statement runs: on any connection of a pool, or on this one.
pub(crate) enum Place<'c> {
    SqlitePool(&'c SqlitePool),
    Sqlite(&'c mut SqliteConnection),
    #[cfg(feature = "postgres")]
    PostgresPool(&'c PgPool),
    #[cfg(feature = "postgres")]
    Postgres(&'c mut PgConnection),
}

/// A row that every engine's rows can become.
#[cfg(feature = "postgres")]
pub(crate) trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
#[cfg(feature = "postgres")]
impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}
/// A row that the engine's rows can become.
#[cfg(not(feature = "postgres"))]
pub(crate) trait Row: for<'r> FromRow<'r, SqliteRow> + Send + Unpin {}
#[cfg(not(feature = "postgres"))]
impl<T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin> Row for T {}

/// Begins a statement that gives no rows.
pub(crate) fn query<'q>(sql: impl sqlx::SqlSafeStr) -> Query<'q> {
    Query { sql: sql.into_sql_str(), values: Vec::new() }
}

/// Begins a statement that gives rows.
pub(crate) fn query_as<'q, T>(sql: impl sqlx::SqlSafeStr) -> QueryAs<'q, T> {
    QueryAs { query: query(sql), row: PhantomData }
}

/// Begins a statement that gives rows of one value.
pub(crate) fn query_scalar<'q, T>(sql: impl sqlx::SqlSafeStr) -> QueryScalar<'q, T> {
    QueryScalar(query_as(sql))
}

/// Runs statements without values, one after another.
pub(crate) async fn script(sql: impl sqlx::SqlSafeStr, place: Place<'_>) -> Result<(), sqlx::Error> {
    match place {
        Place::SqlitePool(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop),
        Place::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
        #[cfg(feature = "postgres")]
        Place::PostgresPool(pool) => sqlx::raw_sql(sql).execute(pool).await.map(drop),
        #[cfg(feature = "postgres")]
        Place::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
    }
}

/// Runs one of sqlx's statements where it belongs: each engine has types of its own for the same text and values.
macro_rules! run {
    ($query:expr, $place:expr, $make:path, |$statement:ident, $on:ident| $run:expr) => {{
        let Query { sql, values } = $query;
        match $place.into() {
            Place::SqlitePool($on) => {
                let $statement = $make(sql, arguments::<Sqlite>(values)?);
                $run
            }
            Place::Sqlite($on) => {
                let $statement = $make(sql, arguments::<Sqlite>(values)?);
                $run
            }
            #[cfg(feature = "postgres")]
            Place::PostgresPool($on) => {
                let $statement = $make(sql, arguments::<Postgres>(storable(values))?);
                $run
            }
            #[cfg(feature = "postgres")]
            Place::Postgres($on) => {
                let $statement = $make(sql, arguments::<Postgres>(storable(values))?);
                $run
            }
        }
    }};
}

impl<'q> Query<'q> {
    /// Binds the next parameter.
    pub(crate) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it.
    pub(crate) async fn execute<'c>(self, place: impl Into<Place<'c>>) -> Result<Done, sqlx::Error> {
        let rows = run!(self, place, sqlx::query_with, |query, on| query.execute(on).await?.rows_affected());
        Ok(Done { rows })
    }
}

impl<'q, T> QueryAs<'q, T> {
    /// Binds the next parameter.
    pub(crate) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.query.values.push(value.into());
        self
    }
}

impl<T: Row> QueryAs<'_, T> {
    /// Returns all rows.
    pub(crate) async fn fetch_all<'c>(self, place: impl Into<Place<'c>>) -> Result<Vec<T>, sqlx::Error> {
        run!(self.query, place, sqlx::query_as_with, |query, on| query.fetch_all(on).await)
    }

    /// Returns the first row, where there is one.
    pub(crate) async fn fetch_optional<'c>(self, place: impl Into<Place<'c>>) -> Result<Option<T>, sqlx::Error> {
        run!(self.query, place, sqlx::query_as_with, |query, on| query.fetch_optional(on).await)
    }

    /// Returns the first row; there is one.
    pub(crate) async fn fetch_one<'c>(self, place: impl Into<Place<'c>>) -> Result<T, sqlx::Error> {
        run!(self.query, place, sqlx::query_as_with, |query, on| query.fetch_one(on).await)
    }
}

impl<'q, T> QueryScalar<'q, T> {
    /// Binds the next parameter.
    pub(crate) fn bind(self, value: impl Into<Value<'q>>) -> Self {
        Self(self.0.bind(value))
    }
}

impl<T> QueryScalar<'_, T>
where
    (T,): Row,
{
    /// Returns the value of every row.
    pub(crate) async fn fetch_all<'c>(self, place: impl Into<Place<'c>>) -> Result<Vec<T>, sqlx::Error> {
        Ok(self.0.fetch_all(place).await?.into_iter().map(|(value,)| value).collect())
    }

    /// Returns the value of the first row, where there is one.
    pub(crate) async fn fetch_optional<'c>(self, place: impl Into<Place<'c>>) -> Result<Option<T>, sqlx::Error> {
        Ok(self.0.fetch_optional(place).await?.map(|(value,)| value))
    }

    /// Returns the value of the first row; there is one.
    pub(crate) async fn fetch_one<'c>(self, place: impl Into<Place<'c>>) -> Result<T, sqlx::Error> {
        Ok(self.0.fetch_one(place).await?.0)
    }
}

impl Done {
    /// Returns how many rows were written or removed.
    pub(crate) fn rows_affected(&self) -> u64 {
        self.rows
    }
}

impl Place<'_> {
    /// Lends the place to one statement of several.
    pub(crate) fn again(&mut self) -> Place<'_> {
        match self {
            Self::SqlitePool(pool) => Place::SqlitePool(pool),
            Self::Sqlite(connection) => Place::Sqlite(connection),
            #[cfg(feature = "postgres")]
            Self::PostgresPool(pool) => Place::PostgresPool(pool),
            #[cfg(feature = "postgres")]
            Self::Postgres(connection) => Place::Postgres(connection),
        }
    }
}

impl<'c> From<&'c mut SqliteConnection> for Place<'c> {
    fn from(connection: &'c mut SqliteConnection) -> Self {
        Self::Sqlite(connection)
    }
}

#[cfg(feature = "postgres")]
impl<'c> From<&'c mut PgConnection> for Place<'c> {
    fn from(connection: &'c mut PgConnection) -> Self {
        Self::Postgres(connection)
    }
}

/// Makes an engine's arguments of values.
fn arguments<D: sqlx::Database>(values: Vec<Value<'_>>) -> Result<D::Arguments, sqlx::Error>
where
    D::Arguments: Arguments<Database = D>,
    Option<i64>: for<'t> Encode<'t, D> + Type<D>,
    Option<String>: for<'t> Encode<'t, D> + Type<D>,
    Option<Vec<u8>>: for<'t> Encode<'t, D> + Type<D>,
{
    let mut arguments = D::Arguments::default();
    for value in values {
        let added = match value {
            Value::Integer(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value.map(Cow::into_owned)),
            Value::Bytes(value) => arguments.add(value.map(Cow::into_owned)),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// Writes NUL in texts as the replacement character: Postgres has no text with NUL in it, and a worker's stray byte in the
/// words of a failure must not stop what it is about. Ids and keys have none.
#[cfg(feature = "postgres")]
fn storable(mut values: Vec<Value<'_>>) -> Vec<Value<'_>> {
    for value in &mut values {
        if let Value::Text(Some(text)) = value
            && text.contains('\0')
        {
            *text = Cow::Owned(text.replace('\0', "\u{fffd}"));
        }
    }
    values
}

/// Says how types of ours become values.
macro_rules! values {
    ($($type:ty => |$value:ident| $made:expr;)*) => {
        $(impl<'q> From<$type> for Value<'q> {
            fn from($value: $type) -> Self {
                $made
            }
        })*
    };
}

values! {
    i64 => |value| Self::Integer(Some(value));
    u32 => |value| Self::Integer(Some(value.into()));
    Option<i64> => |value| Self::Integer(value);
    String => |value| Self::Text(Some(value.into()));
    &'q str => |value| Self::Text(Some(value.into()));
    &'q String => |value| Self::Text(Some(value.into()));
    Option<String> => |value| Self::Text(value.map(Cow::from));
    Option<&'q str> => |value| Self::Text(value.map(Cow::from));
    Option<&'q String> => |value| Self::Text(value.map(Cow::from));
    &'q Option<String> => |value| Self::Text(value.as_ref().map(Cow::from));
    Vec<u8> => |value| Self::Bytes(Some(value.into()));
    &'q [u8] => |value| Self::Bytes(Some(value.into()));
}
