//! Forwards methods of `AsyncWrite` to the stream that a wrapper holds.

/// Writes the named methods of `AsyncWrite` for a wrapper: each calls the same method of the stream in `self.$stream`. Stands in
/// the `impl` block, beside the methods that do more. `Pin`, `Context`, `Poll` and `io` must be in scope.
macro_rules! forward_write {
    ($stream:tt: $($method:ident),+ $(,)?) => {
        $(forward_write!(@$method $stream);)+
    };
    (@poll_write $stream:tt) => {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.$stream).poll_write(cx, bytes)
        }
    };
    (@poll_write_vectored $stream:tt) => {
        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            slices: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.$stream).poll_write_vectored(cx, slices)
        }
    };
    (@is_write_vectored $stream:tt) => {
        fn is_write_vectored(&self) -> bool {
            self.$stream.is_write_vectored()
        }
    };
    (@poll_flush $stream:tt) => {
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.$stream).poll_flush(cx)
        }
    };
    (@poll_shutdown $stream:tt) => {
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.$stream).poll_shutdown(cx)
        }
    };
}

pub(crate) use forward_write;
