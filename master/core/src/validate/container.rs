//! ContainerInfo: volumes and Docker.

use proto::v1::{self, container_info, volume::source::Type};

pub(super) fn container(info: &v1::ContainerInfo) -> Result<(), String> {
    for each in &info.volumes {
        volume(each).map_err(|why| format!("Invalid volume: {why}"))?;
    }
    if info.r#type() == container_info::Type::Docker {
        let docker = info
            .docker
            .as_ref()
            .ok_or("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo")?;
        if docker.parameters.iter().any(|parameter| parameter.key == "name") {
            return Err("Parameter in DockerInfo must not be 'name'".into());
        }
    }
    Ok(())
}

fn volume(volume: &v1::Volume) -> Result<(), String> {
    let ways = [
        volume.host_path.is_some(),
        volume.image.is_some(),
        volume.source.is_some(),
    ];
    if ways.into_iter().filter(|set| *set).count() != 1 {
        return Err("Only one of them should be set: 'host_path', 'image' and 'source'".into());
    }
    let Some(source) = &volume.source else { return Ok(()) };
    let Some(kind) = source.r#type else {
        return Err("'source.type' is not set".into());
    };
    let (set, field, name) = match Type::try_from(kind) {
        Ok(Type::DockerVolume) => (source.docker_volume.is_some(), "docker_volume", "DOCKER_VOLUME"),
        Ok(Type::HostPath) => (source.host_path.is_some(), "host_path", "HOST_PATH"),
        Ok(Type::SandboxPath) => (source.sandbox_path.is_some(), "sandbox_path", "SANDBOX_PATH"),
        Ok(Type::Secret) => (source.secret.is_some(), "secret", "SECRET"),
        Ok(Type::CsiVolume) => (source.csi_volume.is_some(), "csi_volume", "CSI_VOLUME"),
        Ok(Type::Unknown) | Err(_) => return Err("'source.type' is unknown".into()),
    };
    if set {
        Ok(())
    } else {
        Err(format!("'source.{field}' is not set for {name} volume"))
    }
}
