//! A list of named options for a call into FFmpeg.

use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::ptr;

use ffmpeg_next::ffi;

/// An owned `AVDictionary`.
pub(super) struct Options {
    dictionary: *mut ffi::AVDictionary,
}

impl Options {
    /// Returns a list of the given names and values.
    pub(super) fn new(entries: &[(&str, &str)]) -> Self {
        let mut options = Self { dictionary: ptr::null_mut() };
        for (name, value) in entries {
            let (Ok(name), Ok(value)) = (CString::new(*name), CString::new(*value)) else { continue };
            // SAFETY: both strings are zero-terminated and copied by the call; the dictionary is ours alone.
            unsafe { ffi::av_dict_set(&raw mut options.dictionary, name.as_ptr(), value.as_ptr(), 0) };
        }
        options
    }

    /// Returns the pointer that FFmpeg replaces by the list of options it did not know.
    pub(super) fn as_mut_ptr(&mut self) -> *mut *mut ffi::AVDictionary {
        &raw mut self.dictionary
    }

    /// Gives the list away.
    pub(super) fn into_raw(self) -> *mut ffi::AVDictionary {
        ManuallyDrop::new(self).dictionary
    }

    /// Takes a list back.
    ///
    /// # Safety
    /// The pointer is null or owned by the caller.
    pub(super) unsafe fn from_raw(dictionary: *mut ffi::AVDictionary) -> Self {
        Self { dictionary }
    }

    /// Returns the names that the last call did not know.
    pub(super) fn left_over(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut entry: *const ffi::AVDictionaryEntry = ptr::null();
        loop {
            // SAFETY: the dictionary is ours, and each entry is used before the dictionary changes.
            entry = unsafe { ffi::av_dict_get(self.dictionary, c"".as_ptr(), entry, ffi::AV_DICT_IGNORE_SUFFIX) };
            if entry.is_null() {
                return names;
            }
            // SAFETY: an entry's key is a zero-terminated string.
            names.push(unsafe { std::ffi::CStr::from_ptr((*entry).key) }.to_string_lossy().into_owned());
        }
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: the dictionary is ours, or null, which the call takes.
        unsafe { ffi::av_dict_free(&raw mut self.dictionary) };
    }
}
