//! Who a process is to run as: a user of this machine and the groups that it is in (getpwnam(3),
//! getgrouplist(3)). Looked up before a process is made; the child only puts it on.
#![expect(unsafe_code, reason = "the databases of users and groups are those of the C library")]

use std::ffi::{CStr, CString};
use std::io;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid, getuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Where an entry's texts go at first, and at most.
const ENTRY_BYTES: usize = 1 << 10;
const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Groups of one user (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 1 << 16;

/// A user with its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Account {
    /// The user of that name or, if there is none, of that number; `None` if there is neither.
    ///
    /// # Errors
    /// The databases could not be read.
    pub fn find(user: &str) -> io::Result<Option<Self>> {
        let Ok(name) = CString::new(user) else { return Ok(None) };
        let named = entry(|entry, text, length, found| {
            // SAFETY: all four point to what `entry` keeps alive, `text` to `length` bytes.
            unsafe { libc::getpwnam_r(name.as_ptr(), entry, text, length, found) }
        })?;
        if let Some((uid, gid, name)) = named {
            return Self::with_groups(uid, gid, &name).map(Some);
        }
        let Ok(uid) = user.parse::<libc::uid_t>() else { return Ok(None) };
        let numbered = entry(|entry, text, length, found| {
            // SAFETY: as above.
            unsafe { libc::getpwuid_r(uid, entry, text, length, found) }
        })?;
        numbered.map(|(uid, gid, name)| Self::with_groups(uid, gid, &name)).transpose()
    }

    fn with_groups(uid: libc::uid_t, gid: libc::gid_t, name: &CStr) -> io::Result<Self> {
        let mut groups: Vec<libc::gid_t> = vec![0; 32];
        loop {
            let mut count = libc::c_int::try_from(groups.len()).unwrap_or(libc::c_int::MAX);
            // SAFETY: the list holds `count` numbers, and the name ends with NUL.
            let found = unsafe {
                libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count)
            };
            if found >= 0 {
                groups.truncate(usize::try_from(count).unwrap_or(0));
                break;
            }
            if groups.len() >= GROUPS_MAX {
                return Err(io::Error::from_raw_os_error(libc::ERANGE));
            }
            groups.resize(groups.len() * 2, 0);
        }
        let groups = groups.into_iter().map(Gid::from_raw).collect();
        Ok(Self { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid), groups })
    }

    /// Its number.
    pub fn uid(&self) -> Uid {
        self.uid
    }

    /// Whether this process runs as that user, so that nothing has to change.
    pub fn is_own(&self) -> bool {
        (geteuid(), getuid(), getegid()) == (self.uid, self.uid, self.gid)
    }

    /// Makes the calling thread that user for good. For a child before exec: it allocates nothing.
    pub(super) fn put_on(&self) -> Result<(), Errno> {
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.gid, self.gid, self.gid)?;
        set_thread_res_uid(self.uid, self.uid, self.uid)
    }
}

/// Asks for one entry of the database of users, with more room until it fits.
fn entry(
    ask: impl Fn(
        *mut libc::passwd,
        *mut libc::c_char,
        libc::size_t,
        *mut *mut libc::passwd,
    ) -> libc::c_int,
) -> io::Result<Option<(libc::uid_t, libc::gid_t, CString)>> {
    let mut text: Vec<libc::c_char> = vec![0; ENTRY_BYTES];
    loop {
        let mut entry = std::mem::MaybeUninit::<libc::passwd>::zeroed();
        let mut found = std::ptr::null_mut();
        match ask(entry.as_mut_ptr(), text.as_mut_ptr(), text.len(), &raw mut found) {
            libc::ERANGE if text.len() < ENTRY_BYTES_MAX => text.resize(text.len() * 2, 0),
            libc::EINTR => {}
            // What some libraries say when there is none.
            0 | libc::ENOENT | libc::ESRCH if found.is_null() => return Ok(None),
            0 => {
                // SAFETY: the call has filled it in, and its name points into `text`.
                let name = unsafe { CStr::from_ptr((*found).pw_name) };
                // SAFETY: as above.
                let (uid, gid) = unsafe { ((*found).pw_uid, (*found).pw_gid) };
                return Ok(Some((uid, gid, name.to_owned())));
            }
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let root = Account::find("root").expect("readable").expect("there is one");
        assert_eq!((root.uid, root.gid), (Uid::ROOT, Gid::ROOT));
        assert!(root.groups.contains(&Gid::ROOT));
        assert_eq!(Account::find("0").expect("readable"), Some(root));
        for nobody in ["", "no such user", "4294967000", "-1", "0x0", "a\0b"] {
            assert_eq!(Account::find(nobody).expect("readable"), None, "{nobody:?}");
        }
    }

    #[test]
    fn who_this_is_already_is_known() {
        let own = Account::find(&geteuid().as_raw().to_string()).expect("readable");
        assert!(own.is_none_or(|own| own.is_own()));
        let other = Account { uid: Uid::from_raw(77_777), gid: Gid::ROOT, groups: Vec::new() };
        assert!(!other.is_own());
    }
}
