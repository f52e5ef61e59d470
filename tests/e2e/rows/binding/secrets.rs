//! Secrets of bindings that other people have a hand in.

use super::*;

#[tokio::test]
async fn a_secret_that_somebody_else_made_is_left_alone() -> Result<()> {
    let (ground, _provider) = working("taken-name").await?;
    ground.grant_use().await?;
    ground.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "orders" }, "stringData": { "password": "theirs" },
    }))
    .await?;
    let before = ground.secrets().get("orders").await?;
    ground.bind("orders", "taken-name", to("c")).await?;
    let refused = ground.until_binding("orders", "False", "SecretNameTaken").await?;
    assert!(ready_message(&refused).starts_with("secret \"orders\" exists in namespace \"taken-name\""));
    assert_eq!(refused.status.unwrap_or_default().binding, None);
    let after = ground.secrets().get("orders").await?;
    assert_eq!((before.resource_version(), before.data), (after.resource_version(), after.data));

    ground.secrets().delete("orders", &DeleteParams::default()).await?;
    ground.until_binding_within("orders", "True", "Bound", SOON).await?;
    assert!(!ground.secret_texts("orders").await?.context("a Secret")?.contains_key("password"));
    Ok(())
}

#[tokio::test]
async fn a_secret_that_is_changed_or_deleted_becomes_right_again_and_another_name_moves_it() -> Result<()> {
    let (ground, _provider) = working("moved").await?;
    ground.grant_use().await?;
    ground.bind("orders", "moved", to("c")).await?;
    ground.until_secret("orders", "has the token", holds_token).await?;
    ground.secrets().delete("orders", &DeleteParams::default()).await?;
    ground.until_secret("orders", "is made again", holds_token).await?;

    ground.patch_binding("orders", json!({ "secretName": "elsewhere" })).await?;
    ground.until_secret("elsewhere", "has the token", holds_token).await?;
    eventually("the former one is gone", HEALS, async || {
        Ok(ground.secret_texts("orders").await?.is_none().then_some(()))
    })
    .await?;
    ground.patch_binding("orders", json!({ "secretName": null })).await?;
    eventually("no Secret is left", HEALS, async || {
        Ok(ground.secret_texts("elsewhere").await?.is_none().then_some(()))
    })
    .await?;
    eventually("the binding names none", HEALS, async || {
        let bound = ground.until_binding("orders", "True", "Bound").await?;
        Ok(bound.status.unwrap_or_default().binding.is_none().then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_secret_that_somebody_marked_immutable_is_emptied_and_filled_all_the_same() -> Result<()> {
    let (ground, _provider) = working("immutable").await?;
    ground.grant_use().await?;
    ground.bind("orders", "immutable", to("c")).await?;
    ground.until_secret("orders", "has the token", holds_token).await?;
    let mark = async |finalizers: &[&str]| -> Result<Option<String>> {
        let patch = json!({ "immutable": true, "metadata": { "finalizers": finalizers } });
        let marked = ground.secrets().patch("orders", &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(marked.uid())
    };
    let marked = mark(&[]).await?;
    withdraw(&ground.client, &ground.namespace).await?;
    let left = ground.until_secret("orders", "has lost the token", |texts| !holds_token(texts)).await?;
    assert_eq!(left.keys().collect::<Vec<_>>(), ["provider", "type"]);
    assert_ne!(ground.secrets().get("orders").await?.uid(), marked, "it is another one");
    ground.until_binding("orders", "False", "PermissionDenied").await?;

    // One that is held by others is told of, and becomes right when they let go.
    mark(&["example.org/held"]).await?;
    ground.grant_use().await?;
    let held = ground.until_binding("orders", "False", "SecretWriteRefused").await?;
    let words = "secret \"orders\" is immutable and cannot be deleted to be made again: finalizers hold it: example.org/held";
    assert_eq!(ready_message(&held), words);
    let freed = json!({ "metadata": { "finalizers": null } });
    ground.secrets().patch("orders", &PatchParams::default(), &Patch::Merge(&freed)).await?;
    ground.until_secret("orders", "has the token again", holds_token).await?;
    ground.until_binding("orders", "True", "Bound").await?;
    Ok(())
}
