//! Every call to the API server, counted by what it is about.

use std::task::{Context, Poll};

use http::{Method, Request};
use kube::client::Body;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tower::{Layer, Service};

/// What a call is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct About {
    /// The plural of the resource, as `pods`, with its part, as `pods/eviction`.
    resource: String,
}

/// How many calls there were. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    reads: Family<About, Counter>,
    watches: Family<About, Counter>,
    writes: Family<About, Counter>,
}

impl Calls {
    /// Makes them metrics.
    pub fn register(&self, registry: &mut Registry) {
        let all = [
            ("reads", "Calls that read from the API server, watches apart", &self.reads),
            ("watches", "Watches that began", &self.watches),
            ("writes", "Calls that write to the API server", &self.writes),
        ];
        for (kind, help, family) in all {
            registry.register(format!("vltava_operator_api_{kind}"), help, family.clone());
        }
    }

    fn count(&self, method: &Method, path: &str, query: &str) {
        let family = match *method {
            Method::GET if query.split('&').any(|it| it == "watch=true") => &self.watches,
            Method::GET => &self.reads,
            _ => &self.writes,
        };
        family.get_or_create(&About { resource: resource(path) }).inc();
    }
}

/// What a path is about. Names of objects are left out: there are as many as there are objects.
fn resource(path: &str) -> String {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return "other".to_owned(),
    };
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => rest,
        rest => rest,
    };
    match rest {
        [plural, _, part] => format!("{plural}/{part}"),
        [plural, ..] => (*plural).to_owned(),
        [] => "other".to_owned(),
    }
}

impl<S> Layer<S> for Calls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, calls: self.clone() }
    }
}

/// A client's transport, with its calls counted.
#[derive(Debug, Clone)]
pub struct Counted<S> {
    inner: S,
    calls: Calls,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        let uri = request.uri();
        self.calls.count(request.method(), uri.path(), uri.query().unwrap_or_default());
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::{Calls, resource};

    #[test]
    fn a_call_is_about_a_kind_and_never_about_one_object() {
        for (path, about) in [
            ("/api/v1/namespaces/lab/pods", "pods"),
            ("/api/v1/namespaces/lab/pods/prague-broker-1", "pods"),
            ("/api/v1/namespaces/lab/pods/prague-broker-1/eviction", "pods/eviction"),
            ("/api/v1/nodes/worker", "nodes"),
            ("/api/v1/namespaces/lab", "namespaces"),
            ("/apis/vltava.dev/v1alpha1/kafkaclusters", "kafkaclusters"),
            ("/apis/apps/v1/namespaces/lab/statefulsets/prague-broker", "statefulsets"),
            ("/version", "other"),
        ] {
            assert_eq!(resource(path), about, "{path}");
        }
    }

    #[test]
    fn reads_watches_and_writes_are_counted_apart() {
        let calls = Calls::default();
        let mut registry = Registry::default();
        calls.register(&mut registry);
        let pods = "/api/v1/namespaces/lab/pods";
        calls.count(&Method::GET, pods, "labelSelector=a%3Db");
        calls.count(&Method::GET, pods, "watch=true&timeoutSeconds=290");
        calls.count(&Method::PATCH, &format!("{pods}/a"), "");
        calls.count(&Method::DELETE, &format!("{pods}/a"), "");
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes it");
        for (kind, count) in [("reads", 1), ("watches", 1), ("writes", 2)] {
            let line = format!("vltava_operator_api_{kind}_total{{resource=\"pods\"}} {count}");
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}
