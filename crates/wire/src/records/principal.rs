//! The principal that an envelope carries (KIP-590).

use crate::{Str, message};

message! {
    /// `DefaultPrincipalData`.
    DefaultPrincipalData "0", flexible "0+" {
        r#type: Str, "0+";
        name: Str, "0+";
        token_authenticated: bool, "0+";
    }
}
