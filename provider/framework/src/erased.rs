//! The object-safe twins of the traits: values and bytes instead of models, boxed futures instead of `async fn`.

use std::marker::PhantomData;

use crate::ephemeral::Ephemeral;
use crate::function::Function;
use crate::resource::{DataSource, Resource};
use crate::{Model, Schema};

/// Carries the type of a resource, data source, ephemeral resource or function.
pub(crate) struct Typed<T>(pub(crate) PhantomData<fn() -> T>);

pub(crate) trait AnyResource<P>: Send + Sync {
    fn schema(&self) -> &'static Schema;
}

pub(crate) trait AnyDataSource<P>: Send + Sync {
    fn schema(&self) -> &'static Schema;
}

pub(crate) trait AnyEphemeral<P>: Send + Sync {
    fn schema(&self) -> &'static Schema;
}

pub(crate) trait AnyFunction: Send + Sync {}

impl<R: Resource> AnyResource<R::Provider> for Typed<R> {
    fn schema(&self) -> &'static Schema {
        R::Model::schema()
    }
}

impl<D: DataSource> AnyDataSource<D::Provider> for Typed<D> {
    fn schema(&self) -> &'static Schema {
        D::Model::schema()
    }
}

impl<E: Ephemeral> AnyEphemeral<E::Provider> for Typed<E> {
    fn schema(&self) -> &'static Schema {
        E::Model::schema()
    }
}

impl<F: Function> AnyFunction for Typed<F> {}
