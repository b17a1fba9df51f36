"""Video with temporal consistency, after Ruder, Dosovitskiy & Brox 2016.

From a clip to a painted clip, in the order in which the modules use each other:

==================  ==============================================================================
``settings``        what only a video has to be told, beside a picture's recipe
``frames`` ``hdr``  a clip or a folder → frames, one at a time
``writing``         frames → a clip, with the sound and subtitles of the source
``store``           the work folder: filmed and painted frames as PNG files
``cuts``            where shots begin
``flow``            optical flow between two filmed frames
``warping``         pictures sampled along a flow
``certainty``       where an earlier frame can be trusted
``clip_context``    what all frames share: styles, encoder, style statistics; recipes of frames
``warped_past``     what earlier painted frames say about the present one
``filling``         paints what has come into view, coarse to fine
``frame_painting``  paints one frame, by itself or following others
``shot_painting``   paints one shot, pass by pass
``key_frames``      frames that somebody has painted; ``suggestion``: which are worth it
``carrying``        where each pixel of a frame lies in a key frame
``patches``         pieces of key frames under guides, for what the motion does not lead to
``propagation``     paints a shot from its key frames
``job``             everything for a run, loaded and checked
``encoding``        the end of a run: with the film where nothing is painted, as a clip or as pictures
``stages``          a run: decode, estimate, paint, encode
``api``             ``impasto.propagate``
``report``          measures how steady the result is; ``report_page`` writes it as a page
==================  ==============================================================================

Nothing is imported here: PyAV and OpenCV come with the extra ``impasto[video]``, and the command line
must not wait for them.
"""
