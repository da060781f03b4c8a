//! Where AWS's behaviour hurts, the cure is the default and the faithful behaviour a setting. This table is the only list.

/// `faithful`: as AWS does it. `fixed`: the cure, which breaks no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Faithful,
    Fixed,
}

impl Behaviour {
    /// As the configuration file spells it.
    pub fn name(self) -> &'static str {
        match self {
            Behaviour::Faithful => "faithful",
            Behaviour::Fixed => "fixed",
        }
    }
}

/// One quirk: a line of the table in docs/compatibility.md.
pub struct Quirk {
    /// The key under `[quirks]`.
    pub name: &'static str,
    /// What holds where nothing is set: the cure, unless it gives up a promise that AWS makes.
    pub default: Behaviour,
    /// What AWS does, and the public issue that reports it.
    pub faithful: &'static str,
    /// What Ecru does instead.
    pub fixed: &'static str,
    pub issue: &'static str,
}

macro_rules! quirks {
    ($($name:ident = $default:ident: $faithful:literal, $fixed:literal, $issue:literal;)*) => {
        /// The behaviour chosen for each quirk.
        #[derive(Clone, Debug)]
        pub struct Quirks { $(pub $name: Behaviour),* }
        impl Default for Quirks {
            fn default() -> Quirks { Quirks { $($name: Behaviour::$default),* } }
        }
        impl Quirks {
            pub const TABLE: &'static [Quirk] = &[$(Quirk {
                name: stringify!($name),
                default: Behaviour::$default,
                faithful: $faithful,
                fixed: $fixed,
                issue: $issue,
            }),*];
            /// Sets one by name; false when there is no such quirk.
            pub fn set(&mut self, name: &str, behaviour: Behaviour) -> bool {
                match name { $(stringify!($name) => { self.$name = behaviour; true })* _ => false }
            }
        }
    };
}

quirks! {
    immutable_repush = Fixed: "a second PUT of the same manifest to an immutable tag is 400 TAG_INVALID", "it is 201, and the push window of containerd's clients is kept", "aws/containers-roadmap#2179";
    registry_errors = Fixed: "an invalid manifest, name or digest and n over 1000 are 405 UNSUPPORTED", "400 MANIFEST_INVALID, NAME_INVALID, DIGEST_INVALID; n is clamped", "aws/containers-roadmap#2783";
    patch_status = Fixed: "PATCH of an upload answers 201", "it answers 202", "aws/containers-roadmap#2831";
    mount_referenced_only = Fixed: "only layers that an image of the source references are mounted", "any layer that the source shows is mounted", "aws/containers-roadmap#2860";
    unreferenced_layer_get = Fixed: "GET of a layer that no image references fails", "it is served", "aws/containers-roadmap#2860";
    sparse_index = Faithful: "an index is refused while an image that it lists is missing", "it is stored; what it lists may come later or never", "distribution-spec, sparse manifests";
    layer_index = Fixed: "an index that lists layers is refused: the registry cache of BuildKit without `image-manifest=true`", "it is stored, if the layers are here", "aws/containers-roadmap#876";
}
