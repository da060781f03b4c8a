//! Groups and their users.

use serde_json::{Value, json};
use testkit::TestApp;

fn names(answer: &Value, list: &str, name: &str) -> Vec<String> {
    answer[list].as_array().unwrap().iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_group_has_users_and_is_deleted_without_any() {
    let app = TestApp::start().await;
    let root = app.administrator();
    let made = root.iam("CreateGroup", json!({"GroupName": "Devs", "Path": "/team/"})).await.ok();
    assert_eq!(made["Group"]["Arn"], "arn:aws:iam::000000000000:group/team/Devs");
    // A name is taken without regard to case, and by groups alone.
    let taken = root.iam("CreateGroup", json!({"GroupName": "devs"})).await.error("EntityAlreadyExists");
    assert_eq!(taken, "Group with name devs already exists.");
    for user in ["cid", "Bea", "ann"] {
        root.iam("CreateUser", json!({"UserName": user})).await.ok();
        root.iam("AddUserToGroup", json!({"GroupName": "devs", "UserName": user})).await.ok();
    }
    // A user that is in the group stays.
    root.iam("AddUserToGroup", json!({"GroupName": "Devs", "UserName": "ann"})).await.ok();
    let page = root.iam("GetGroup", json!({"GroupName": "Devs", "MaxItems": 2})).await.ok();
    assert_eq!(
        (names(&page, "Users", "UserName"), &page["IsTruncated"]),
        (vec!["ann".into(), "Bea".into()], &json!(true))
    );
    let rest = root.iam("GetGroup", json!({"GroupName": "Devs", "MaxItems": 2, "Marker": page["Marker"]})).await.ok();
    assert_eq!((names(&rest, "Users", "UserName"), &rest["IsTruncated"]), (vec!["cid".into()], &json!(false)));
    let of_ann = root.iam("ListGroupsForUser", json!({"UserName": "ann"})).await.ok();
    assert_eq!(names(&of_ann, "Groups", "GroupName"), ["Devs"]);
    // A new name and path keep the users and the unique id.
    let moved = json!({"GroupName": "Devs", "NewGroupName": "crew", "NewPath": "/"});
    root.iam("UpdateGroup", moved).await.ok();
    let crew = root.iam("GetGroup", json!({"GroupName": "crew"})).await.ok();
    assert_eq!(names(&crew, "Users", "UserName"), ["ann", "Bea", "cid"]);
    assert_eq!(crew["Group"]["GroupId"], made["Group"]["GroupId"]);
    assert_eq!(
        names(&root.iam("ListGroups", json!({})).await.ok(), "Groups", "Arn"),
        ["arn:aws:iam::000000000000:group/crew"]
    );
    // Neither the group nor its users go while they belong together.
    root.iam("DeleteGroup", json!({"GroupName": "crew"})).await.error("DeleteConflict");
    root.iam("DeleteUser", json!({"UserName": "ann"})).await.error("DeleteConflict");
    for user in ["ann", "bea", "cid"] {
        root.iam("RemoveUserFromGroup", json!({"GroupName": "crew", "UserName": user})).await.ok();
    }
    root.iam("RemoveUserFromGroup", json!({"GroupName": "crew", "UserName": "ann"})).await.error("NoSuchEntity");
    root.iam("DeleteGroup", json!({"GroupName": "crew"})).await.ok();
    root.iam("DeleteUser", json!({"UserName": "ann"})).await.ok();
    root.iam("GetGroup", json!({"GroupName": "crew"})).await.error("NoSuchEntity");
}

#[tokio::test]
async fn a_user_is_in_ten_groups_at_most() {
    let app = TestApp::start().await;
    let root = app.administrator();
    root.iam("CreateUser", json!({"UserName": "ann"})).await.ok();
    for number in 0..=10 {
        let group = format!("group-{number:02}");
        root.iam("CreateGroup", json!({"GroupName": group})).await.ok();
        let added = root.iam("AddUserToGroup", json!({"GroupName": group, "UserName": "ann"})).await;
        if number < 10 {
            added.ok();
        } else {
            assert_eq!(added.error("LimitExceeded"), "Cannot exceed quota for GroupsPerUser: 10");
        }
    }
    // It may be added again where it is.
    root.iam("AddUserToGroup", json!({"GroupName": "group-03", "UserName": "ann"})).await.ok();
    let page = root.iam("ListGroupsForUser", json!({"UserName": "ann", "MaxItems": 9})).await.ok();
    assert_eq!(page["IsTruncated"], true);
    let next = json!({"UserName": "ann", "MaxItems": 9, "Marker": page["Marker"]});
    assert_eq!(names(&root.iam("ListGroupsForUser", next).await.ok(), "Groups", "GroupName"), ["group-09"]);
}
