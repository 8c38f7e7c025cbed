"""The generators that the authors of CycleGAN publish: name -> (source domain, target domain).

Source: the list in pytorch-CycleGAN-and-pix2pix; one direction each, photo to painting for the styles.
"""

OFFICIAL = {
    "apple2orange": ("apple", "orange"),
    "orange2apple": ("orange", "apple"),
    "summer2winter_yosemite": ("summer", "winter"),
    "winter2summer_yosemite": ("winter", "summer"),
    "horse2zebra": ("horse", "zebra"),
    "zebra2horse": ("zebra", "horse"),
    "monet2photo": ("monet", "photo"),
    "style_monet": ("photo", "monet"),
    "style_cezanne": ("photo", "cezanne"),
    "style_ukiyoe": ("photo", "ukiyoe"),
    "style_vangogh": ("photo", "vangogh"),
    "sat2map": ("satellite", "map"),
    "map2sat": ("map", "satellite"),
    "cityscapes_photo2label": ("photo", "label"),
    "cityscapes_label2photo": ("label", "photo"),
    "facades_photo2label": ("photo", "label"),
    "facades_label2photo": ("label", "photo"),
    "iphone2dslr_flower": ("iphone", "dslr"),
}
