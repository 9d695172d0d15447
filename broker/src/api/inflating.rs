//! Places for work that decompresses batches of any size, each of which can take
//! 64 MiB or so of memory. There are as many as there are cores to do it.

use std::sync::LazyLock;

use tokio::sync::{Semaphore, SemaphorePermit};

static PLACES: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
});

/// A place, once there is one; it is given up when it is dropped.
pub async fn place() -> Option<SemaphorePermit<'static>> {
    PLACES.acquire().await.ok()
}
