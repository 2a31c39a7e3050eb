//! What a member of an organisation may do.
use super::Permission;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything, and who else may.
    Owner,
    /// Everything but owners.
    Admin,
    /// Clients, domains and MDM servers.
    Editor,
    /// Looks.
    Viewer,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Editor, Self::Viewer];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    #[must_use]
    pub fn permissions(self) -> &'static [Permission] {
        match self {
            Self::Owner | Self::Admin => &Permission::ALL,
            Self::Editor => &[
                Permission::DomainsRead,
                Permission::DomainsWrite,
                Permission::RequestsRead,
            ],
            Self::Viewer => &[Permission::DomainsRead, Permission::RequestsRead],
        }
    }

    /// Whoever administers sees every client.
    #[must_use]
    pub fn may_be_limited(self) -> bool {
        matches!(self, Self::Editor | Self::Viewer)
    }

    /// An admin may name the provider, and whoever runs it makes it say anything of anybody: so its word makes no owner.
    #[must_use]
    pub fn on_a_providers_word(self) -> Self {
        match self {
            Self::Owner => Self::Admin,
            Self::Admin | Self::Editor | Self::Viewer => self,
        }
    }

    /// Whether one with this role may give `other` to somebody, or take it.
    #[must_use]
    pub fn may_give(self, other: Self) -> bool {
        match self {
            Self::Owner => true,
            Self::Admin => other != Self::Owner,
            Self::Editor | Self::Viewer => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_less_gives_less() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            for other in Role::ALL {
                let gives = role.may_give(other);
                assert!(
                    !gives || role.permissions().contains(&Permission::OrganisationAdmin),
                    "{role:?}"
                );
                assert!(
                    !gives || other.permissions().len() <= role.permissions().len(),
                    "{role:?} {other:?}"
                );
            }
        }
        assert!(Role::Admin.may_give(Role::Admin) && !Role::Admin.may_give(Role::Owner));
    }
}
