//! Users (`ECR.md` P; IAM API reference).

use crate::Cx;
use crate::attachment::NewBoundary;
use crate::entity::{self, Entity, NewEntity};
use crate::error::Error;
use crate::managed_policy::PolicyArn;
use meta::Tx;
use meta::records::iam::EntityKind;

const KIND: EntityKind = EntityKind::User;

/// Creates a user. See [`entity::create`] and [`NewBoundary::set`] for the errors.
pub async fn create(cx: &Cx, new: NewEntity, boundary: Option<&PolicyArn>) -> Result<Entity, Error> {
    let boundary = boundary.map(|arn| NewBoundary::of(cx, arn));
    let also =
        move |tx: &mut Tx<'_>, user: &mut Entity| boundary.iter().try_for_each(|boundary| boundary.set(tx, user));
    entity::create(cx, KIND, new, also).await
}

/// Renames a user or moves it to another path. Its unique id, keys, groups and policies stay.
pub async fn update(cx: &Cx, name: &str, new_name: Option<String>, new_path: Option<String>) -> Result<(), Error> {
    entity::rename(cx, KIND, name, new_name, new_path).await
}

/// Deletes a user. Fails with [`Error::DeleteConflict`] while it has keys, groups or policies.
pub async fn delete(cx: &Cx, name: &str) -> Result<(), Error> {
    let account = cx.registry.account;
    entity::delete(cx, KIND, name, move |tx, user| {
        if tx.access_key_count(account.as_str(), &user.id)? > 0 {
            return Err(Error::DeleteConflict("must delete access keys first."));
        }
        if !tx.iam_container_list(&user.id, "", 1)?.is_empty() {
            return Err(Error::DeleteConflict("must remove users from group first."));
        }
        entity::refuse_with_policies(tx, user)
    })
    .await
}
