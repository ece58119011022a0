//! How large a run is: quick as a part of `make test`, or full as `make chaos` asks for by `DARKROOM_TEST_CHAOS=full`.

/// The one of the two that this run has.
pub fn size<T>(quick: T, full: T) -> T {
    if is_full() { full } else { quick }
}

pub fn is_full() -> bool {
    std::env::var_os("DARKROOM_TEST_CHAOS").is_some_and(|size| size == "full")
}
