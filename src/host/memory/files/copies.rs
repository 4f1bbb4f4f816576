//! Copies of images.

use super::{Files, ROOT, fails, missing};
use crate::host::primitives::{CallError, CallErrorKind, ImageSize, wrong_digest};
use crate::plan::BaseFile;

impl Files {
    pub(in super::super) fn copy_image(
        &mut self,
        base: &BaseFile,
        from: &str,
        to: &str,
        grown: ImageSize,
    ) -> Result<(), CallError> {
        self.no_links(to)?;
        let (_, node) = self.find(from).ok_or_else(|| missing(from))?;
        let (content, stat) = (node.content.clone(), node.stat());
        let place = self.free_place(to)?;
        if (stat.ino, stat.size, stat.mtime_ns) != (base.ino, base.size, base.mtime_ns) {
            return Err(fails(CallErrorKind::Changed, from, "it changed"));
        }
        let seen = content.sha256().unwrap_or_default();
        let wanted = base.sha256.as_ref();
        if let Some(wanted) = wanted.filter(|wanted| wanted.as_str() != seen) {
            return Err(CallError::other(wrong_digest(base, wanted, &seen)));
        }
        let content = content.grown(grown).map_err(CallError::other)?;
        let image = self.node(&place, content, 0o600, ROOT);
        self.nodes.insert(place, image);
        Ok(())
    }
}
