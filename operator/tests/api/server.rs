//! An API server in memory: enough of Kubernetes to reconcile against, with faults on demand.
//!
//! It keeps objects as JSON, merges what is applied by field managers, refuses what the real one
//! refuses about StatefulSets and node ports, and counts every call. One call, by its number, can
//! be made to fail, before or after it took effect.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};

use crate::merge::{apply, merge};

/// Which object: plural, namespace (empty for none), name.
pub type Key = (String, String, String);

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happened.
    Before,
    /// It took effect, and nobody was told.
    After,
}

/// What the server holds.
#[derive(Debug, Default)]
pub struct State {
    /// The objects.
    pub objects: BTreeMap<Key, Value>,
    /// What each manager applied last, by object.
    pub applied: BTreeMap<(Key, String), Value>,
    /// Every write, as `PATCH statefulsets/prague-broker`.
    pub writes: Vec<String>,
    /// How many calls there were.
    pub calls: usize,
    /// The call that fails.
    pub fault: Option<(usize, Fault)>,
    /// The name of an object whose every change is refused, and why.
    pub refused: Option<(String, String)>,
    /// What was asked for, as rights are given: verb, group, resource with its part.
    pub asked: BTreeSet<(String, String, String)>,
    /// Whether nobody is answered any more.
    pub is_silent: bool,
    version: u64,
}

/// The server. Clones are the same server.
#[derive(Debug, Clone, Default)]
pub struct Server {
    /// What it holds.
    pub state: Arc<Mutex<State>>,
}

/// What a path means.
struct Target {
    plural: String,
    namespace: String,
    name: Option<String>,
    part: Option<String>,
}

impl Server {
    /// A client of it.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let bytes = body.collect().await.expect("a body in memory").to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                if server.state.lock().expect("no test panics with the lock").is_silent {
                    // A connection that was cut without a word.
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(server.call(&head, &body))
            }
        });
        Client::new(service, "default")
    }

    /// Puts an object there, as a person or a controller would.
    pub fn put(&self, plural: &str, object: Value) {
        let mut state = self.state.lock().expect("no test panics with the lock");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let key = (plural.to_owned(), text(&metadata["namespace"]), text(&metadata["name"]));
        state.store(key, object);
    }

    /// An object.
    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        self.state.lock().expect("no test panics with the lock").objects.get(&key).cloned()
    }

    /// Changes an object behind everybody's back.
    pub fn edit(&self, plural: &str, namespace: &str, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut object = self.get(plural, namespace, name).expect("the object is there");
        edit(&mut object);
        self.put(plural, object);
    }

    /// Takes an object away behind everybody's back, and nothing with it.
    pub fn remove(&self, plural: &str, namespace: &str, name: &str) {
        let key = (plural.to_owned(), namespace.to_owned(), name.to_owned());
        let mut state = self.state.lock().expect("no test panics with the lock");
        state.applied.retain(|(applied, _), _| *applied != key);
        state.objects.remove(&key).expect("the object is there");
    }

    /// The names of all objects of a kind in a namespace.
    pub fn names(&self, plural: &str, namespace: &str) -> BTreeSet<String> {
        let state = self.state.lock().expect("no test panics with the lock");
        let keys = state.objects.keys().filter(|key| key.0 == plural && key.1 == namespace);
        keys.map(|key| key.2.clone()).collect()
    }

    /// The writes since the last time that they were asked for.
    pub fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().expect("no test panics with the lock").writes)
    }

    fn call(&self, head: &http::request::Parts, body: &Value) -> Response<Body> {
        let mut state = self.state.lock().expect("no test panics with the lock");
        state.calls += 1;
        let fault = state.fault.filter(|(call, _)| *call == state.calls).map(|(_, fault)| fault);
        if fault == Some(Fault::Before) {
            return failure(500, "InternalError", "the test wants this call to fail");
        }
        let answer = state.answer(head, body);
        match fault {
            Some(_) => failure(504, "Timeout", "the answer of this call is lost"),
            None => answer,
        }
    }
}

impl State {
    fn answer(&mut self, head: &http::request::Parts, body: &Value) -> Response<Body> {
        let target = target(head.uri.path());
        let query: BTreeMap<String, String> = head
            .uri
            .query()
            .into_iter()
            .flat_map(|query| form_urlencoded::parse(query.as_bytes()).into_owned())
            .collect();
        self.ask(head, &target, query.contains_key("watch"));
        let Some(name) = target.name.clone() else {
            return match head.method {
                Method::GET => self.list(&target, query.get("labelSelector")),
                _ => self.create(&target, body),
            };
        };
        let key = (target.plural.clone(), target.namespace.clone(), name);
        match (&head.method, target.part.as_deref()) {
            (&Method::GET, _) => self.objects.get(&key).map_or_else(|| absent(&key), found),
            (&Method::POST, Some("eviction")) => self.evict(&key, body),
            (&Method::DELETE, _) => self.delete(&key, body),
            (&Method::PATCH, part) => {
                let kind = head.headers.get("content-type").and_then(|it| it.to_str().ok());
                let manager = query.get("fieldManager").cloned().unwrap_or_default();
                self.patch(&key, part, kind.unwrap_or_default(), &manager, body)
            }
            (&Method::PUT, _) => {
                self.note("PUT", &key);
                self.store(key.clone(), body.clone());
                found(&self.objects[&key])
            }
            _ => failure(405, "MethodNotAllowed", "the test's server does not do this"),
        }
    }

    /// Notes which right a call needs.
    fn ask(&mut self, head: &http::request::Parts, target: &Target, watches: bool) {
        let is_one = target.name.is_some();
        let verb = match head.method {
            Method::GET if is_one => "get",
            Method::GET if watches => "watch",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            _ => "delete",
        };
        let parts: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        let group = if parts[0] == "apis" { parts[1] } else { "" };
        let part = target.part.as_ref().map(|part| format!("/{part}")).unwrap_or_default();
        let resource = format!("{}{part}", target.plural);
        self.asked.insert((verb.to_owned(), group.to_owned(), resource.clone()));
        // Who applies what is not there makes it.
        let name = target.name.clone().unwrap_or_default();
        let key = (target.plural.clone(), target.namespace.clone(), name);
        if verb == "patch" && part.is_empty() && !self.objects.contains_key(&key) {
            self.asked.insert(("create".to_owned(), group.to_owned(), resource));
        }
    }

    fn note(&mut self, verb: &str, key: &Key) {
        self.writes.push(format!("{verb} {}/{}", key.0, key.2));
    }

    fn store(&mut self, key: Key, mut object: Value) {
        self.version += 1;
        let before = self.objects.get(&key);
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            let kept = before.map(|before| before["metadata"]["uid"].clone());
            metadata["uid"] = kept.unwrap_or_else(|| json!(format!("uid-{}", self.version)));
        }
        metadata["resourceVersion"] = json!(self.version.to_string());
        let same = before.is_some_and(|before| before["spec"] == object["spec"]);
        let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
        object["metadata"]["generation"] = json!(if same { generation } else { generation + 1 });
        match key.0.as_str() {
            "services" => self.allocate(&key, &mut object),
            "statefulsets" => convert(&mut object["spec"]["template"]["spec"]),
            _ => {}
        }
        self.objects.insert(key, object);
    }

    /// Gives a Service the port that it did not name: the one that it had under the name of the
    /// port as long as its type has any, else a free one.
    fn allocate(&self, key: &Key, service: &mut Value) {
        let has_ports = |service: &Value| {
            matches!(service["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer"))
        };
        let is_outside = has_ports(service);
        let Some(port) = service["spec"]["ports"][0].as_object_mut() else { return };
        if !is_outside {
            port.remove("nodePort");
        } else if port.get("nodePort").is_none_or(Value::is_null) {
            let before = self.objects.get(key).filter(|before| has_ports(before));
            let before = before.map(|before| before["spec"]["ports"][0].clone());
            let same = before.filter(|it| Some(&it["name"]) == port.get("name"));
            let taken = self.taken(key);
            let free = || (30_000..32_768).find(|port| !taken.contains(port));
            let its = same.and_then(|it| it["nodePort"].as_i64()).or_else(free);
            port.insert("nodePort".to_owned(), json!(its));
        }
    }

    /// The ports of nodes that other Services have.
    fn taken(&self, key: &Key) -> BTreeSet<i64> {
        self.objects
            .iter()
            .filter(|(other, _)| other.0 == "services" && *other != key)
            .filter_map(|(_, service)| service["spec"]["ports"][0]["nodePort"].as_i64())
            .collect()
    }

    /// Why a change is refused.
    fn refuses(&self, key: &Key, before: Option<&Value>, after: &Value) -> Option<String> {
        if let Some((name, why)) = &self.refused
            && *name == key.2
        {
            return Some(why.clone());
        }
        let port = after["spec"]["ports"][0]["nodePort"].as_i64();
        if let Some(port) =
            port.filter(|port| key.0 == "services" && self.taken(key).contains(port))
        {
            return Some(format!(
                "Service \"{}\" is invalid: spec.ports[0].nodePort: Invalid value: {port}: \
                 provided port is already allocated",
                key.2
            ));
        }
        refused(before, after).map(str::to_owned)
    }

    fn list(&self, target: &Target, selector: Option<&String>) -> Response<Body> {
        let matches = |object: &Value| {
            selector.is_none_or(|selector| {
                selector.split(',').filter(|it| !it.is_empty()).all(|term| {
                    let (key, value) = term.split_once('=').unwrap_or((term, ""));
                    object["metadata"]["labels"][key].as_str() == Some(value)
                })
            })
        };
        let here = |key: &Key| {
            key.0 == target.plural && (target.namespace.is_empty() || key.1 == target.namespace)
        };
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter(|(key, object)| here(key) && matches(object))
            .map(|(_, object)| object)
            .collect();
        found(&json!({
            "apiVersion": "v1",
            "kind": "List",
            "metadata": {"resourceVersion": self.version.to_string()},
            "items": items,
        }))
    }

    fn create(&mut self, target: &Target, body: &Value) -> Response<Body> {
        let name = body["metadata"]["name"].as_str().unwrap_or("generated").to_owned();
        let key = (target.plural.clone(), target.namespace.clone(), name);
        if self.objects.contains_key(&key) {
            return failure(409, "AlreadyExists", "it is there already");
        }
        if body["note"].as_str().is_some_and(|note| note.len() > 1024) {
            return failure(422, "Invalid", "note: can have at most 1024 characters");
        }
        // Events are what is told, no state.
        if target.plural != "events" {
            self.note("POST", &key);
        }
        self.store(key.clone(), body.clone());
        found(&self.objects[&key])
    }

    fn evict(&mut self, key: &Key, _body: &Value) -> Response<Body> {
        self.note("EVICT", key);
        match self.objects.remove(key) {
            Some(_) => found(&json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})),
            None => absent(key),
        }
    }

    fn delete(&mut self, key: &Key, body: &Value) -> Response<Body> {
        let Some(object) = self.objects.get(key) else { return absent(key) };
        let wanted = &body["preconditions"]["uid"];
        if !wanted.is_null() && *wanted != object["metadata"]["uid"] {
            return failure(409, "Conflict", "it is another one by now");
        }
        self.note("DELETE", key);
        self.applied.retain(|(applied, _), _| applied != key);
        let gone = self.objects.remove(key).unwrap_or_default();
        found(&gone)
    }

    fn patch(
        &mut self,
        key: &Key,
        part: Option<&str>,
        kind: &str,
        manager: &str,
        body: &Value,
    ) -> Response<Body> {
        let applies = kind.contains("apply-patch");
        let before = self.objects.get(key).cloned();
        let Some(mut object) = before.clone().or_else(|| applies.then(|| json!({}))) else {
            return absent(key);
        };
        if part == Some("status") {
            object["status"] = body["status"].clone();
        } else if applies {
            let id = (key.clone(), manager.to_owned());
            let last = self.applied.get(&id).cloned().unwrap_or(Value::Null);
            apply(&mut object, &last, body);
            if let Some(refused) = self.refuses(key, before.as_ref(), &object) {
                return failure(422, "Invalid", &refused);
            }
            self.applied.insert(id, body.clone());
        } else {
            merge(&mut object, body);
            if let Some(refused) = self.refuses(key, before.as_ref(), &object) {
                return failure(422, "Invalid", &refused);
            }
        }
        let verb = if part == Some("status") { "STATUS" } else { "PATCH" };
        self.note(verb, key);
        if before.as_ref() != Some(&object) {
            self.store(key.clone(), object);
        }
        found(&self.objects[key])
    }
}

/// The service account of a pod has two names: each is filled from the other, and what is empty is
/// left out.
fn convert(pod: &mut Value) {
    let Some(fields) = pod.as_object_mut() else { return };
    let names = ["serviceAccountName", "serviceAccount"];
    let given = names.map(|name| fields.remove(name));
    let account =
        given.into_iter().flatten().find(|it| it.as_str().is_some_and(|it| !it.is_empty()));
    if let Some(account) = account {
        fields.extend(names.map(|name| (name.to_owned(), account.clone())));
    }
}

/// What the real server refuses about a StatefulSet that is there.
fn refused(before: Option<&Value>, after: &Value) -> Option<&'static str> {
    let before = before?;
    let fields = ["serviceName", "podManagementPolicy", "selector", "volumeClaimTemplates"];
    let changed = fields.iter().any(|field| before["spec"][field] != after["spec"][field]);
    (after["kind"] == "StatefulSet" && changed).then_some(
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
         'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are \
         forbidden",
    )
}

fn target(path: &str) -> Target {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts.first() {
        Some(&"api") => &parts[2..],
        _ => &parts[3..],
    };
    let own = |part: Option<&&str>| part.map(|part| (*part).to_owned());
    match rest {
        ["namespaces", namespace, plural, rest @ ..] => Target {
            plural: (*plural).to_owned(),
            namespace: (*namespace).to_owned(),
            name: own(rest.first()),
            part: own(rest.get(1)),
        },
        [plural, rest @ ..] => Target {
            plural: (*plural).to_owned(),
            namespace: String::new(),
            name: own(rest.first()),
            part: own(rest.get(1)),
        },
        [] => panic!("{path} means nothing"),
    }
}

fn found(object: &Value) -> Response<Body> {
    response(StatusCode::OK, object)
}

fn absent(key: &Key) -> Response<Body> {
    failure(404, "NotFound", &format!("{} \"{}\" not found", key.0, key.2))
}

fn failure(code: u16, reason: &str, message: &str) -> Response<Body> {
    let status = StatusCode::from_u16(code).expect("a code of HTTP");
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": message,
        "metadata": Map::new(), "details": Map::new(),
    });
    response(status, &body)
}

fn response(status: StatusCode, body: &Value) -> Response<Body> {
    let body = serde_json::to_vec(body).expect("plain data");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}
