//! Who has done something, as it is written down.
use uuid::Uuid;

/// Who is written down as the author of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    Token {
        id: Uuid,
        name: String,
        /// The member who answers for it, if one does.
        responsible_user_id: Option<Uuid>,
    },
    /// A person who is signed in. Names are personal data: who it was is looked up where it is shown.
    Member { id: Uuid },
    /// Somebody who runs this Signpost.
    Operator,
    /// Nobody: what Signpost finds when it looks at a domain.
    Signpost,
}

impl By {
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token { .. } => "token",
            Self::Member { .. } => "member",
            Self::Operator => "operator",
            Self::Signpost => "signpost",
        }
    }

    #[must_use]
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Token { id, .. } | Self::Member { id } => Some(*id),
            Self::Operator | Self::Signpost => None,
        }
    }

    /// The member who answers for what is made: it ends with them.
    #[must_use]
    pub fn responsible_user_id(&self) -> Option<Uuid> {
        match self {
            Self::Token {
                responsible_user_id, ..
            } => *responsible_user_id,
            Self::Member { id } => Some(*id),
            Self::Operator | Self::Signpost => None,
        }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Token { name, .. } => name,
            Self::Member { .. } => "member",
            Self::Operator => "operator",
            Self::Signpost => "signpost",
        }
    }
}
