//! One file an API key: from a decoded request to its answer.
//!
//! Every handler has one signature: `pub async fn handle(broker: &Arc<Broker>, call:
//! Call<FooRequest>) -> Reply`. What it does before it returns happens in the order of the
//! connection's requests; what takes long goes into [`context::Call::reply_later`].
