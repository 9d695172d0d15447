//! What can go wrong while a cluster is looked after.

use vltava_client::ClientError;

/// Why a walk ended early; it begins anew soon.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Reading from the API server.
    #[error("{what} cannot be read")]
    Read {
        /// What.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// Writing to the API server.
    #[error("{what} cannot be written")]
    Write {
        /// What.
        what: String,
        /// Why.
        source: Box<kube::Error>,
    },
    /// An object of an earlier cluster of the same name is still there.
    #[error("{what} is of an earlier cluster of this name and on its way out; it is waited for")]
    Leaving {
        /// Which.
        what: String,
    },
    /// An object of that name belongs to somebody else.
    #[error(
        "{what} is there and belongs to something else, so it is left alone; delete it, or give \
         the cluster another name"
    )]
    Taken {
        /// Which.
        what: String,
    },
    /// The API server or the cluster does not answer.
    #[error("the walk took more than {seconds} s and was broken off; does the API server answer?")]
    Slow {
        /// How long it may take.
        seconds: u64,
    },
    /// Asking the cluster.
    #[error("the cluster cannot be asked")]
    Ask(#[source] ClientError),
    /// Telling the cluster.
    #[error("the cluster does not do it: {what}")]
    Tell {
        /// What.
        what: String,
        /// Why.
        source: ClientError,
    },
}

impl OperatorError {
    /// Whether one object alone is refused, so that there is no reason for others to wait: the API
    /// server finds it impossible or forbids it, or it is somebody else's.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Write { source, .. } => {
                let code = match &**source {
                    kube::Error::Api(status) => status.code,
                    _ => return false,
                };
                matches!(code, 400 | 403 | 409 | 413 | 422)
            }
            Self::Taken { .. } => true,
            _ => false,
        }
    }

    /// A read that failed.
    pub fn read(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Read { what, source: Box::new(source) }
    }

    /// A write that failed.
    pub fn write(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Write { what, source: Box::new(source) }
    }

    /// Something that the cluster was told in vain.
    pub fn tell(what: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let what = what.into();
        move |source| Self::Tell { what, source }
    }
}

/// What a part of the walk gives.
pub type Outcome<T = ()> = Result<T, OperatorError>;
