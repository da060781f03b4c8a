//! Runs request handlers: to completion even if the client hangs up, and so that a panic costs only one response.

use futures_util::FutureExt as _;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// Runs a handler in its connection's task. If that task ends first, the handler continues in a new task, so that a client that
/// hangs up does not stop it between two writes. Most handlers complete at their first poll, and a task for each would cost more
/// than they do. Returns an error if the handler panics.
pub async fn inline<T, F>(handler: F) -> Result<T, Panicked>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    Inline(Some(Box::pin(AssertUnwindSafe(handler).catch_unwind()))).await.map_err(Panicked::new)
}

/// Runs a handler in its own task, parallel to its connection's. For handlers of large bodies, which hash and store while the
/// connection receives more.
pub async fn beside<T, F>(handler: F) -> Result<T, Panicked>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    tokio::spawn(handler).await.map_err(|error| Panicked(error.to_string()))
}

/// A handler panicked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Panicked(String);

impl Panicked {
    fn new(payload: Box<dyn Any + Send>) -> Panicked {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Panicked(format!("it panicked: {}", text.as_deref().unwrap_or("without a text")))
    }
}

/// The output of a handler's future, or its panic.
type Caught<T> = Result<T, Box<dyn Any + Send>>;

/// The handler's future; `None` once it has completed.
struct Inline<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = Caught<T>> + Send>>>);

impl<T: Send + 'static> Future for Inline<T> {
    type Output = Caught<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Caught<T>> {
        let Some(handler) = &mut self.0 else { return Poll::Pending };
        let polled = handler.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Inline<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the handler can't continue.
        if let (Some(handler), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(handler);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_handler_whose_client_hangs_up_goes_on_to_its_end() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let mut handler = Box::pin(inline(async move {
            gone.await.unwrap();
            done.send("stored").unwrap();
        }));
        assert!(handler.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
        drop(handler);
        go.send(()).unwrap();
        assert_eq!(ended.await.unwrap(), "stored");
    }

    #[tokio::test]
    async fn a_panic_costs_one_answer_and_says_why() {
        assert_eq!(inline(async { 7 }).await.unwrap(), 7);
        assert_eq!(beside(async { 7 }).await.unwrap(), 7);
        let broken = inline(async { panic!("no {}", "more") }).await;
        assert_eq!(broken.unwrap_err().to_string(), "it panicked: no more");
        assert!(beside(async { panic!("no more") }).await.unwrap_err().to_string().contains("no more"));
    }
}
