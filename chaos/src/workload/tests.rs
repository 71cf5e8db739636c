use super::*;

#[test]
fn every_name_is_read_as_written_and_another_is_refused_with_all_names() {
    for kind in Workload::ALL {
        assert_eq!(kind.name().parse::<Workload>(), Ok(*kind));
    }
    let error = "task".parse::<Workload>().unwrap_err().to_string();
    assert!(error.contains("'task'") && error.contains("tasks"), "{error}");
}
