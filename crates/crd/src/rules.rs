//! What Kubernetes refuses about a manifest by itself, each with a sentence for people (CEL).

/// A rule: where it holds, the expression, and the sentence or the expression that makes it.
pub(crate) struct Rule {
    /// The fields from the root to it, separated by dots; `[]` goes into a list's items.
    pub(crate) path: &'static str,
    /// What must hold.
    pub(crate) rule: &'static str,
    /// What is said where it does not.
    pub(crate) says: Says,
}

/// What is said about a broken rule.
#[derive(Clone, Copy)]
pub(crate) enum Says {
    /// Always the same.
    Text(&'static str),
    /// An expression whose value is the sentence.
    Made(&'static str),
}

use Says::{Made, Text};

/// Every rule. What only the tables of keys can tell is said in the status instead.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        path: "",
        rule: "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        says: Made(
            "'metadata.name: `' + self.metadata.name + '` may hold a to z, 0 to 9 and `-`, and \
             starts with a letter'",
        ),
    },
    Rule {
        path: "",
        rule: "size(self.metadata.name) <= 40",
        says: Made(
            "'metadata.name: `' + self.metadata.name + '` is longer than 40 letters; shorten it'",
        ),
    },
    Rule {
        path: "spec",
        rule: "self.listeners.exists(l, l.type == 'Internal')",
        says: Text(
            "listeners: none is of type Internal, by which brokers reach each other; add one",
        ),
    },
    Rule {
        path: "spec",
        // Listeners are compared whole: of the name of one that a filter found the API server does
        // not know how long it may be, and takes the rule for too costly.
        rule: "!oldSelf.listeners.exists(o, o.type == 'Internal') || \
               (self.listeners.exists(l, l.type == 'Internal' && \
               l.name == oldSelf.listeners.filter(o, o.type == 'Internal')[0].name) && \
               self.listeners.filter(l, l.type == 'Internal')[0] == \
               self.listeners.filter(l, l.type == 'Internal' && \
               l.name == oldSelf.listeners.filter(o, o.type == 'Internal')[0].name)[0])",
        says: Text(
            "listeners: the first of type Internal is the one by which brokers reach each other, \
             and they know it by its name, also while they restart one by one; leave the name as \
             it was and it before all others of its type, or make a new cluster",
        ),
    },
    Rule {
        path: "spec.listeners",
        rule: "self.all(l, self.exists_one(m, m.port == l.port))",
        says: Text("two listeners have the same port; give each its own"),
    },
    Rule {
        path: "spec.listeners",
        rule: "self.all(l, self.exists_one(m, m.name.lowerAscii().replace('_', '-') == \
               l.name.lowerAscii().replace('_', '-')))",
        says: Text(
            "two listeners have the same name but for upper and lower case, or `_` and `-`; rename \
             one",
        ),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "self.name.matches('^[A-Za-z0-9]([-_A-Za-z0-9]*[A-Za-z0-9])?$')",
        says: Made(
            "'listener `' + self.name + '`: a name may hold letters, digits, `-` and `_` between \
             them; rename it'",
        ),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "self.name.lowerAscii() != 'controller'",
        says: Text("`controller` is the coordinators' listener; rename it"),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "self.name.lowerAscii() != 'admin'",
        says: Text("`admin` is the port where nodes serve probes and metrics; rename it"),
    },
    Rule {
        path: "",
        rule: "self.spec.listeners.all(l, l.type == 'Internal' || size(self.metadata.name) + \
               size(l.name) + size(string(self.spec.brokers.replicas)) <= 61)",
        says: Text(
            "the name of the cluster, that of a listener and the number of a broker make the name \
             of a Service, of 63 letters at most; shorten the listener's name",
        ),
    },
    Rule {
        path: "spec",
        rule: "self.brokers.replicas == 1 || self.listeners.all(l, l.type != 'NodePort' || \
               !has(l.advertisedHost) || !has(l.advertisedPort) || \
               l.advertisedHost.contains('{id}'))",
        says: Text(
            "a NodePort with one advertisedHost and one advertisedPort gives all brokers the same \
             address; put {id} into the host, or take out advertisedPort",
        ),
    },
    Rule {
        path: "spec",
        rule: "!has(self.image) || has(self.coordinators.image) || \
               self.image.matches('^([^@]*/)?[^/@:]*broker[^/@:]*(:[^/@:]+)?$')",
        says: Made(
            "'image: `' + self.image + '` does not say where the coordinators\\' image is, which \
             is of the same name but for `broker`, and of the same tag; name that in \
             coordinators.image'",
        ),
    },
    Rule {
        path: "spec.listeners.[].port",
        rule: "self >= 1 && self <= 65535",
        says: Text("is no port; take 1 to 65535"),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "self.port != 9404",
        says: Text("port 9404 is where nodes serve probes and metrics; take another"),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "!has(self.nodePorts) || size(self.nodePorts) == 0 || self.type == 'NodePort'",
        says: Made(
            "'listener `' + self.name + '`: one of type ' + self.type + ' has no nodePorts; take \
             them out, or make it a NodePort'",
        ),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "!has(self.nodePorts) || self.nodePorts.all(p, p >= 30000 && p <= 32767)",
        says: Made(
            "'listener `' + self.name + '`: nodePorts must be ports that Kubernetes gives; take \
             30000 to 32767'",
        ),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "!has(self.advertisedHost) || self.type != 'Internal'",
        says: Made(
            "'listener `' + self.name + '`: clients inside connect to the pods, so an Internal one \
             has no advertisedHost; take it out'",
        ),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "!has(self.advertisedHost) || \
               self.advertisedHost.replace('{id}', '0') \
               .matches('^[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?$')",
        says: Made(
            "'listener `' + self.name + '`: advertisedHost `' + self.advertisedHost + '` is no \
             host; write a name or an address, without a port, in which {id} alone is the \
             broker\\'s number'",
        ),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "self.type != 'ClusterIP' || has(self.advertisedHost)",
        says: Made(
            "'listener `' + self.name + '`: of type ClusterIP it needs advertisedHost, the name \
             that your ingress has for each broker, as broker-{id}.kafka.example.com'",
        ),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "!(self.type in ['ClusterIP', 'LoadBalancer']) || !has(self.advertisedHost) || \
               self.advertisedHost.contains('{id}')",
        says: Made(
            "'listener `' + self.name + '`: advertisedHost must hold {id}, the number of the \
             broker, so that clients reach each of them, as broker-{id}.kafka.example.com'",
        ),
    },
    Rule {
        path: "spec.listeners.[]",
        rule: "!has(self.advertisedPort) || (self.type != 'Internal' && \
               self.advertisedPort >= 1 && self.advertisedPort <= 65535)",
        says: Made(
            "'listener `' + self.name + '`: advertisedPort is for listeners outside, and a port \
             from 1 to 65535'",
        ),
    },
    Rule {
        path: "spec.listeners.[].loadBalancerSourceRanges.[]",
        rule: "self.matches('^(([0-9]{1,3}[.]){3}[0-9]{1,3}/[0-9]{1,2}|\
               [0-9a-fA-F:.]*:[0-9a-fA-F:.]*/[0-9]{1,3})$')",
        says: Made("'`' + self + '` is no network; write it as 192.0.2.0/24 or 2001:db8::/32'"),
    },
    GRACE.at("spec.brokers.pod.terminationGracePeriodSeconds"),
    GRACE.at("spec.coordinators.pod.terminationGracePeriodSeconds"),
    Rule {
        path: "spec.brokers.replicas",
        rule: "self >= 1 && self <= 2000",
        says: Text("so many brokers are impossible; ask for 1 to 2000"),
    },
    Rule {
        path: "spec.coordinators.replicas",
        rule: "self in [1, 3, 5, 7, 9]",
        says: Text(
            "so many coordinators are impossible, or bear no more failures than one less; ask for \
             1, 3, 5, 7 or 9",
        ),
    },
    STORAGE[0].at("spec.brokers.storage"),
    STORAGE[1].at("spec.brokers.storage"),
    STORAGE[0].at("spec.coordinators.storage"),
    STORAGE[1].at("spec.coordinators.storage"),
    CONFIG.at("spec.brokers.config"),
    CONFIG.at("spec.coordinators.config"),
    Rule {
        path: "spec.topics.[]",
        rule: "self.name.matches('^[a-zA-Z0-9._-]+$') && size(self.name) <= 249 && \
               !(self.name in ['.', '..'])",
        says: Made(
            "'`' + self.name + '` is no topic\\'s name: it may hold letters, digits, `.`, `_` and \
             `-`, 249 at most'",
        ),
    },
    Rule {
        path: "spec.topics.[]",
        rule: "!self.name.startsWith('__')",
        says: Made("'`' + self.name + '` is a name of Kafka\\'s own topics; rename it'"),
    },
    Rule {
        path: "spec.brokers",
        rule: "!has(self.moveRate) || (isQuantity(self.moveRate) && \
               quantity(self.moveRate).compareTo(quantity('64Ki')) >= 0)",
        says: Made(
            "'moveRate: `' + self.moveRate + '` is no rate to move at; write it as 20Mi, 64Ki at \
             least'",
        ),
    },
    Rule {
        path: "spec.topics.[].partitions",
        rule: "self >= 1 && self <= 100000",
        says: Text("so many partitions are impossible; ask for 1 to 100000"),
    },
    Rule {
        path: "spec.topics.[].replicationFactor",
        rule: "self >= 1 && self <= 2000",
        says: Text("so many replicas are impossible; ask for 1 or more"),
    },
];

const STORAGE: [Rule; 2] = [
    Rule {
        path: "",
        rule: "!has(self.size) || \
               (isQuantity(self.size) && quantity(self.size).isGreaterThan(quantity('0')))",
        says: Made("'`' + self.size + '` is no size; write it as 10Gi or 500Mi'"),
    },
    Rule {
        path: "",
        rule: "has(self.storageClassName) == has(oldSelf.storageClassName) && \
               (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",
        says: Text(
            "storageClassName cannot change, as volumes cannot move from one class to another; \
             leave it as it was, or make a new cluster",
        ),
    },
];

const GRACE: Rule =
    Rule { path: "", rule: "self >= 0", says: Text("is no time; take 0 seconds or more") };

const CONFIG: Rule = Rule {
    path: "",
    rule: "!self.exists(k, k in MANAGED)",
    says: Made(
        "self.filter(k, k in MANAGED)[0] + ' follows from the rest of the manifest; take \
         it out'",
    ),
};

impl Rule {
    const fn at(&self, path: &'static str) -> Self {
        Self { path, rule: self.rule, says: self.says }
    }
}
