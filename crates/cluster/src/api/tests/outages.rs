//! An API that is slow, broken or half there: what is known goes on being answered, and is told of once.

use super::*;

#[tokio::test]
async fn an_api_that_fails_is_said_once_and_asked_until_it_works() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let world = World::start(move |target| {
        others(target).unwrap_or_else(|| match count.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::Ends(vec![added("web", 1), listed(2)]),
            at @ 1..6 if at % 2 == 0 => refused(503, "", "etcdserver: leader changed"),
            1..6 => Answer::Whole(500, "", "<html>no API here</html>".to_owned()),
            _ => Answer::Stays(vec![added("new", 3)]),
        })
    })
    .await;
    world.index.synced().await;
    world.until("new", |world| world.knows("new") && world.logged("in step again") == 1).await;
    assert!(world.knows("web") && world.index.is_synced());
    assert_eq!(world.logged("Error Kubernetes API: "), 1, "{:?}", world.log.0.lock().unwrap());
    assert_eq!(world.logged("the server answers 500 Internal Server Error; answering from what is known"), 1);
}

#[tokio::test]
async fn an_api_that_does_not_answer_in_time_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let world = World::patient(Duration::from_millis(100), move |target| {
        others(target).unwrap_or_else(|| match asked.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Answer::Late(Duration::from_secs(60)),
            _ => Answer::Stays(vec![added("web", 1), listed(2)]),
        })
    })
    .await;
    world.index.synced().await;
    assert!(world.knows("web"));
    assert_eq!(world.logged("Error Kubernetes API: no answer from 127.0.0.1:"), 1);
}

#[tokio::test]
async fn a_list_that_trickles_is_waited_for() {
    let world = World::patient(Duration::from_millis(200), |target| {
        others(target).unwrap_or_else(|| {
            let lines = (1..=8).map(|version| added(&format!("s{version}"), version)).chain([listed(9)]);
            Answer::Trickles(Duration::from_millis(50), lines.collect())
        })
    })
    .await;
    world.index.synced().await;
    assert!((1..=8).all(|version| world.knows(&format!("s{version}"))));
    assert_eq!(world.log.0.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_new_list_deletes_nothing_before_its_end() {
    let lists = AtomicUsize::new(0);
    let world = World::start(move |target| {
        others(target).unwrap_or_else(|| match lists.fetch_add(1, Ordering::Relaxed) {
            0 => Answer::Ends(vec![added("kept", 1), added("vanished", 2), listed(2), gone()]),
            // It breaks off in the middle of an object, then before the mark that ends it.
            1 => Answer::Ends(vec![added("kept", 1)[..40].to_owned()]),
            2 => Answer::Ends(vec![added("kept", 1)]),
            3 => refused(500, "", "no list now"),
            _ => Answer::Trickles(Duration::from_millis(100), vec![added("new", 8), added("kept", 1), listed(9)]),
        })
    })
    .await;
    world.until("the last list", |world| world.knows("new")).await;
    assert!(world.knows("kept") && world.knows("vanished"), "the list has not ended");
    world.until("the end of the list", |world| !world.knows("vanished")).await;
    assert!(world.knows("kept") && world.index.is_synced());
}

#[tokio::test]
async fn all_kinds_away_are_one_line_and_one_age() {
    let mut world = World::start(|_| Answer::Stays(vec![listed(1)])).await;
    world.index.synced().await;
    world.until("a quiet start", |world| world.index.stale_seconds() == 0).await;
    world.server = None;
    world.until("an age", |world| world.index.stale_seconds() >= 1).await;
    assert!(world.logged("Error Kubernetes API: ") <= 2, "{:?}", world.log.0.lock().unwrap());
    let listener = TcpListener::bind(world.address).await.unwrap();
    world.listen(listener, |_| Answer::Stays(vec![listed(1)]));
    world.until("the return", |world| world.index.stale_seconds() == 0 && world.logged("in step again") == 1).await;
}

#[tokio::test]
async fn service_imports_are_followed_where_they_are_kept() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let access = Access::Endpoint { url: listener.local_addr().unwrap().to_string(), tls: None };
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(
        listener,
        Arc::new(move |target| {
            record.lock().unwrap().push(target.to_owned());
            let import =
                r#"{"metadata":{"name":"web","namespace":"shop"},"spec":{"type":"ClusterSetIP","ips":["10.200.0.1"]}}"#;
            let lines = target.contains("serviceimports").then(|| event("ADDED", import));
            Answer::Stays(lines.into_iter().chain([listed(1)]).collect())
        }),
    ));
    let keep = Keep { imports: true, ..Keep::default() };
    let index = Arc::new(Index::new(keep, Arc::new(crate::Quiet)));
    let (labels, namespace_labels) = (Selector::parse("app=a").unwrap(), Selector::parse("env=dev").unwrap());
    let watches = Watches { slices: true, pods: false, labels, namespace_labels };
    index.require(watches.kinds());
    tasks.spawn(run(access.client().await.unwrap(), watches, Timing::default(), Arc::clone(&index)));
    index.synced().await;
    assert!(index.imports().unwrap().service(b"shop", b"web").is_some() && index.service(b"shop", b"web").is_none());
    let seen = seen.lock().unwrap();
    let asked =
        |path: &str, selector: &str| seen.iter().any(|target| target.starts_with(path) && target.ends_with(selector));
    assert!(asked("/apis/multicluster.x-k8s.io/v1alpha1/serviceimports?", "&labelSelector=env%3Ddev"), "{seen:?}");
    let of_imports = "&labelSelector=app%3Da%2Cmulticluster.kubernetes.io%2Fservice-name";
    assert!(asked("/apis/discovery.k8s.io/v1/endpointslices?", of_imports), "{seen:?}");
    assert!(asked("/apis/discovery.k8s.io/v1/endpointslices?", "&labelSelector=app%3Da"), "{seen:?}");
}
