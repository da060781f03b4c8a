//! Quirks: behaviour of AWS that breaks clients. Ecru fixes most of it by default, and has a setting for each. This is the only list.

/// `faithful` is AWS's behaviour. `fixed` is Ecru's, which breaks no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Faithful,
    Fixed,
}

impl Behaviour {
    /// The name in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Behaviour::Faithful => "faithful",
            Behaviour::Fixed => "fixed",
        }
    }
}

/// One quirk. docs/compatibility.md has a table of them.
pub struct Quirk {
    /// The key in the section `[quirks]` of the configuration.
    pub name: &'static str,
    /// The behaviour without a setting: `fixed`, unless that would break a promise of AWS's.
    pub default: Behaviour,
    /// A description of AWS's behaviour.
    pub faithful: &'static str,
    /// A description of Ecru's behaviour.
    pub fixed: &'static str,
    /// The public issue that reports AWS's behaviour.
    pub issue: &'static str,
}

macro_rules! quirks {
    ($($name:ident = $default:ident: $faithful:literal, $fixed:literal, $issue:literal;)*) => {
        /// The chosen behaviour of each quirk.
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
            /// Sets a quirk by name. Returns false if there is no such quirk.
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
