//! What happens on a host behind armfleet's back: users with virsh and a shell, guests, and misfortune.

use super::daemon::{Domain, SAVES};
use super::definition;
use super::files::Content;
use super::{Memory, World};
use crate::host::primitives::{CallError, CallErrorKind, Owner, Primitives};
use crate::inventory::{AddressSource, RawAddress, RawDevice, RawLink, RawNetwork};
use crate::paths;
use crate::trust::Writer;
use std::sync::MutexGuard;
use std::time::Duration;

/// What a person does takes as long.
const MOMENT: Duration = Duration::from_secs(1);
const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// A symbolic link, as QEMU keeps a guest's mode: little-endian.
const LINK_MODE: [u8; 4] = 0o120_777_u32.to_le_bytes();

/// Users with virsh. Each fails when there is no domain of that name.
impl Memory {
    /// A domain's UUID.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn uuid_of(&self, name: &str) -> Result<String, CallError> {
        self.on_domain(name, |domain| domain.uuid.clone())
    }

    /// Redefines a domain, as `virsh edit` does.
    ///
    /// # Errors
    /// When there is no such domain, or as libvirt says.
    pub fn edit_domain(
        &self,
        name: &str,
        edit: impl FnOnce(&str) -> String,
    ) -> Result<(), CallError> {
        let definition = self.on_domain(name, |domain| domain.definition.clone())?;
        self.define(&edit(&definition))
    }

    /// Defines a copy under another name with images of its own, as `virt-clone` does: metadata and shares are copied.
    ///
    /// # Errors
    /// When there is no such domain, or as libvirt says.
    pub fn clone_domain(&self, name: &str, clone: &str) -> Result<(), CallError> {
        let definition = self.on_domain(name, |domain| domain.definition.clone())?;
        let uuid = format!("c10e0000-0000-4000-8000-{:0>12}", clone.len());
        let copy = definition::renamed(&definition, clone, &uuid);
        self.define(&copy.replace(".img'", "-clone.img'"))
    }

    /// Gives a domain another name, as `virsh domrename` does.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn rename_domain(&self, name: &str, new: &str) -> Result<(), CallError> {
        self.on_domain(name, |domain| {
            domain.definition = definition::renamed(&domain.definition, new, &domain.uuid);
            new.clone_into(&mut domain.name);
        })
    }

    /// Cuts a domain's power, as `virsh destroy` does.
    ///
    /// # Errors
    /// When there is no such domain, or it is off.
    pub fn destroy(&self, name: &str) -> Result<(), CallError> {
        let uuid = self.uuid_of(name)?;
        self.world().daemon.destroy(&uuid)
    }

    /// Undefines a domain, as `virsh undefine` does: while it runs, that makes it transient.
    ///
    /// # Errors
    /// When there is no such domain, or as libvirt says.
    pub fn undefine_domain(&self, name: &str) -> Result<(), CallError> {
        let uuid = self.uuid_of(name)?;
        self.undefine(&uuid, false)
    }

    /// Puts a domain into a state (`virDomainState` and its reason).
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn set_state(&self, name: &str, state: u32, reason: u32) -> Result<(), CallError> {
        self.on_domain(name, |domain| domain.state = (state, reason))
    }

    /// Stops a domain and keeps its memory, as `virsh managedsave` does.
    ///
    /// # Errors
    /// When there is no such domain, or it is off.
    pub fn save_domain(&self, name: &str) -> Result<(), CallError> {
        self.destroy(name)?;
        self.on_domain(name, |domain| domain.managed_save = true)?;
        self.put_file(&format!("{}/{name}.save", SAVES), "LibvirtQemudSave")
    }

    /// Gives a domain a snapshot and a checkpoint, as `virsh snapshot-create-as` and `checkpoint-create-as` do.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn add_snapshot(
        &self,
        name: &str,
        snapshot: &str,
        checkpoint: &str,
    ) -> Result<(), CallError> {
        self.on_domain(name, |domain| {
            domain.snapshots.push(snapshot.to_owned());
            domain.checkpoints.push(checkpoint.to_owned());
        })
    }

    /// The host, a moment after the last thing that armfleet did: what happens behind its back is later.
    fn meanwhile(&self) -> MutexGuard<'_, World> {
        self.world().files.pass(MOMENT);
        self.world()
    }

    fn on_domain<T>(&self, name: &str, act: impl FnOnce(&mut Domain) -> T) -> Result<T, CallError> {
        let mut world = self.world();
        let domain = world.daemon.named(name).ok_or_else(|| CallError {
            kind: CallErrorKind::Missing,
            why: format!("Domain not found: no domain with matching name '{name}'"),
        })?;
        Ok(act(domain))
    }
}

/// Guests, and misfortune.
impl Memory {
    /// A domain's guest does not hear so many requests to power off.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn deafen_guest(&self, name: &str, requests: u32) -> Result<(), CallError> {
        self.on_domain(name, |domain| domain.deaf_to = requests)
    }

    /// A domain's process ends by itself after so long: the one that it has, or else each that it gets.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn end_process_after(&self, name: &str, time: Duration) -> Result<(), CallError> {
        let now_ns = self.world().files.now_ns();
        self.on_domain(name, |domain| domain.end_after(time, now_ns))
    }

    /// libvirt cannot dump a domain's definition.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn forbid_dump(&self, name: &str, why: &str) -> Result<(), CallError> {
        self.on_domain(name, |domain| domain.unreadable = Some(why.to_owned()))
    }

    /// Starts libvirt's daemon, or starts it again; its domains run on.
    pub fn restart_daemon(&self) {
        let World { files, daemon, .. } = &mut *self.meanwhile();
        daemon.runs = true;
        daemon.look_for_hooks(files);
        // Its folder is there from the beginning.
        let written = files.put(paths::DAEMON_PID_FILES[0], Content::file("1"), 0o644, ROOT);
        debug_assert!(written.is_ok());
    }

    /// Defines a network, or changes one.
    pub fn put_network(&self, name: &str, active: bool, autostart: bool) {
        self.world().daemon.put_network(RawNetwork {
            name: name.to_owned(),
            bridge: None,
            active,
            autostart,
            openvswitch: false,
        });
    }

    /// Defines a network on a bridge of Open vSwitch, which is active.
    pub fn put_openvswitch_network(&self, name: &str) {
        self.world().daemon.put_network(RawNetwork {
            name: name.to_owned(),
            bridge: Some("ovsbr0".to_owned()),
            active: true,
            autostart: true,
            openvswitch: true,
        });
    }

    /// While a domain runs, this is told of its guest's addresses, with the MAC address of each; or why nobody can tell. An
    /// agent that tells anything has opened its channel.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn tell_addresses(
        &self,
        name: &str,
        source: AddressSource,
        told: Result<&[(&str, &str)], &str>,
    ) -> Result<(), CallError> {
        let raw = |(mac, address): &(&str, &str)| RawAddress {
            mac: (*mac).to_owned(),
            address: (*address).to_owned(),
            source,
        };
        let told = told.map(|told| told.iter().map(raw).collect());
        let told = told.map_err(str::to_owned);
        self.on_domain(name, |domain| drop(domain.addresses.insert(source, told)))
    }

    /// Makes a network device, which may be a bridge.
    pub fn put_network_device(&self, name: &str, bridge: bool) {
        let name = name.to_owned();
        self.world().daemon.put_link(RawLink { name, bridge });
    }

    /// Another version of QEMU is installed: its own name of the machine `virt` takes the place of the former one's.
    pub fn upgrade_qemu(&self, former: &str, machine: &str) {
        let about = &mut self.world().daemon.about;
        about.capabilities = about.capabilities.replace(former, machine);
    }

    /// Stops libvirt's daemon; its domains run on.
    pub fn stop_daemon(&self) {
        self.world().daemon.runs = false;
    }

    /// The daemon drops the next request to look for hooks, as it does in the first moments of its life.
    pub fn drop_next_reload(&self) {
        self.world().daemon.drops_reload = true;
    }
}

/// Users with a shell. Paths must have a folder to be in.
impl Memory {
    /// What is in a file; of an image, the bytes that were written.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.world().files.bytes(path).map(<[u8]>::to_vec)
    }

    /// Every file that holds something: its path, and what is in it.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let world = self.world();
        let files = world.files.all();
        files
            .map(|(path, bytes)| (path.to_owned(), bytes.to_vec()))
            .collect()
    }

    /// Writes a file of root's, mode 0644.
    ///
    /// # Errors
    /// When its folder is not there.
    pub fn put_file(&self, path: &str, bytes: impl AsRef<[u8]>) -> Result<(), CallError> {
        self.meanwhile()
            .files
            .put(path, Content::file(bytes.as_ref()), 0o644, ROOT)
    }

    /// Puts a socket there.
    ///
    /// # Errors
    /// When its folder is not there.
    pub fn put_special(&self, path: &str) -> Result<(), CallError> {
        self.meanwhile()
            .files
            .put(path, Content::Special, 0o644, ROOT)
    }

    /// Makes a block device of this number, or gives one other bytes and facts; its node is root's and the group disk's.
    ///
    /// # Errors
    /// When its folder is not there.
    pub fn put_device(
        &self,
        path: &str,
        number: u64,
        known: RawDevice,
        begins_with: impl AsRef<[u8]>,
    ) -> Result<(), CallError> {
        let device = Content::Device {
            number,
            bytes: begins_with.as_ref().to_owned(),
            known,
        };
        let owner = Owner { uid: 0, gid: 6 };
        self.meanwhile().files.put(path, device, 0o660, owner)
    }

    /// A guest writes a file into its share.
    ///
    /// # Errors
    /// When the share is not there.
    pub fn put_guest_file(
        &self,
        share: &str,
        name: &str,
        bytes: impl AsRef<[u8]>,
    ) -> Result<(), CallError> {
        let mut world = self.meanwhile();
        let owner = world.files.stat(share).map(|stat| Owner {
            uid: stat.uid,
            gid: stat.gid,
        });
        let path = format!("{share}/{name}");
        let owner = owner.unwrap_or(ROOT);
        world
            .files
            .put(&path, Content::file(bytes.as_ref()), 0o600, owner)
    }

    /// A guest makes a symbolic link in its share, which the host sees as a file.
    ///
    /// # Errors
    /// When the share is not there.
    pub fn put_guest_link(&self, share: &str, name: &str, target: &str) -> Result<(), CallError> {
        self.put_guest_file(share, name, target)?;
        self.meanwhile()
            .files
            .give_guest_mode(&format!("{share}/{name}"), &LINK_MODE)
    }

    /// QEMU keeps a mode for what a guest made in its share.
    ///
    /// # Errors
    /// When it is not there.
    pub fn give_guest_mode(&self, path: &str, mode: &[u8]) -> Result<(), CallError> {
        self.meanwhile().files.give_guest_mode(path, mode)
    }

    /// Gives a folder an access control list that lets these write, as `setfacl -m` does.
    ///
    /// # Errors
    /// When it is not there.
    pub fn give_acl(&self, path: &str, writers: &[Writer]) -> Result<(), CallError> {
        self.meanwhile().files.give_acl(path, writers)
    }

    /// What its file system is known by from now on, as after a reboot with other disks: its device number, and its UUID, empty
    /// for one that has none. Files and inodes stay.
    pub fn mount(&self, device: u64, uuid: &str) {
        self.meanwhile().files.mount(device, uuid);
    }

    /// Gives a file another name, as `ln` does, or a folder another place, as `mount --bind` does. What is made later at
    /// one of them is not seen at the other.
    ///
    /// # Errors
    /// When it is not there, or something is where it shall be.
    pub fn bind(&self, path: &str, to: &str) -> Result<(), CallError> {
        self.meanwhile().files.bind(path, to)
    }

    /// A guest writes to its disk.
    ///
    /// # Errors
    /// When there is no such image.
    pub fn write_image(&self, path: &str, text: &str) -> Result<(), CallError> {
        self.meanwhile().files.edit_file(path, |bytes, size| {
            *bytes = text.as_bytes().to_vec();
            *size = (*size).max(bytes.len() as u64);
            Ok(())
        })
    }

    /// Cuts a file to a size, or grows it to one with zero bytes.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn truncate(&self, path: &str, to: u64) -> Result<(), CallError> {
        self.meanwhile().files.edit_file(path, |bytes, size| {
            bytes.truncate(usize::try_from(to).unwrap_or(usize::MAX));
            *size = to;
            Ok(())
        })
    }

    /// Gives anything another mode and owner.
    ///
    /// # Errors
    /// When it is not there.
    pub fn own(&self, path: &str, mode: u32, owner: Owner) -> Result<(), CallError> {
        self.meanwhile().files.own(path, mode, owner)
    }

    /// Removes whatever has this name, with all that is in it.
    pub fn remove(&self, path: &str) {
        self.meanwhile().files.remove(path);
    }

    /// A path cannot be looked at any more.
    pub fn make_unreadable(&self, path: &str, why: &str) {
        let files = &mut self.meanwhile().files;
        files.unreadable.insert(path.to_owned(), why.to_owned());
    }

    /// What is in a folder cannot be told any more.
    pub fn forbid_listing(&self, folder: &str, why: &str) {
        let files = &mut self.meanwhile().files;
        files.unlisted.insert(folder.to_owned(), why.to_owned());
    }

    /// The file system of this folder keeps no extended attributes of the kind `user.*`.
    pub fn take_xattrs_away(&self, folder: &str) {
        let files = &mut self.meanwhile().files;
        files.without_xattrs.insert(folder.to_owned());
    }

    /// The file system of this folder takes nothing new: it is full, or mounted read-only.
    pub fn close_folder(&self, folder: &str, why: CallErrorKind) {
        let files = &mut self.meanwhile().files;
        files.closed.insert(folder.to_owned(), why);
    }

    /// The file system of this folder has so much room left.
    pub fn leave_room(&self, folder: &str, bytes: u64) {
        let files = &mut self.meanwhile().files;
        files.room.insert(folder.to_owned(), bytes);
    }

    /// From now on, a program says this of its version; without a text, nothing.
    pub fn say_version(&self, program: &str, text: Option<&str>) {
        let programs = &mut self.world().programs;
        match text {
            Some(text) => drop(programs.insert(program.to_owned(), text.to_owned())),
            None => drop(programs.remove(program)),
        }
    }

    /// Nothing keeps the clock synchronised any more.
    pub fn let_clock_run(&self) {
        self.world().synchronised = false;
    }

    /// A folder is said to be a file system of this type.
    pub fn say_mounted(&self, folder: &str, kind: &str) {
        let files = &mut self.meanwhile().files;
        files.mounted.insert(folder.to_owned(), kind.to_owned());
    }

    /// Puts a link there.
    ///
    /// # Errors
    /// When its folder is not there, or something else has its name.
    pub fn put_link(&self, path: &str, target: &str) -> Result<(), CallError> {
        let link = Content::Link(target.to_owned());
        self.meanwhile().files.put(path, link, 0o777, ROOT)
    }
}
